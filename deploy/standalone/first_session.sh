MESHER=http://127.0.0.1:8080
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
curl -s $MESHER/v1/users --json '{"email": "me@example.com", "password": "correct horse"}'
TOKEN=$(curl -s $MESHER/v1/sessions --json '{"email": "me@example.com", "password": "correct horse"}' | field token)
AUTH="authorization: Bearer $TOKEN"
ORG=$(curl -s $MESHER/v1/orgs -H "$AUTH" --json '{"name": "Acme", "slug": "acme-'$(date +%s)'"}' | field orgId)
PROJECT=$(curl -s $MESHER/v1/orgs/$ORG/projects -H "$AUTH" --json '{"name": "Web shop"}' | field projectId)
CREATED=$(curl -s $MESHER/v1/projects/$PROJECT/api-keys -H "$AUTH" --json '{}')
KEY=$(echo "$CREATED" | field secret)
echo "The DSN for Sentry SDKs: $(echo "$CREATED" | field dsn)"
curl -s $MESHER/v1/events -H "x-mesher-key: $KEY" --json '{"message": "the shop is on fire", "level": "fatal"}'
curl -s $MESHER/v1/projects/$PROJECT/events:flush -H "$AUTH" --json '{}'
curl -s $MESHER/v1/projects/$PROJECT/events -H "$AUTH"
