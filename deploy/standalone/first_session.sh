MESHER=http://127.0.0.1:8080
api() { curl -s -H 'content-type: application/json' "$@"; }
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
api $MESHER/v1/users -d '{"email": "me@example.com", "password": "correct horse"}'
TOKEN=$(api $MESHER/v1/sessions -d '{"email": "me@example.com", "password": "correct horse"}' | field token)
AUTH="authorization: Bearer $TOKEN"
ORG=$(api $MESHER/v1/orgs -H "$AUTH" -d '{"name": "Acme", "slug": "acme-'$(date +%s)'"}' | field orgId)
PROJECT=$(api $MESHER/v1/orgs/$ORG/projects -H "$AUTH" -d '{"name": "Web shop"}' | field projectId)
CREATED=$(api $MESHER/v1/projects/$PROJECT/api-keys -H "$AUTH" -d '{}')
KEY=$(echo "$CREATED" | field secret)
echo "The DSN for Sentry SDKs: $(echo "$CREATED" | field dsn)"
api $MESHER/v1/events -H "x-mesher-key: $KEY" -d '{"message": "the shop is on fire", "level": "fatal"}'
api $MESHER/v1/projects/$PROJECT/events:flush -H "$AUTH" -d '{}'
api $MESHER/v1/projects/$PROJECT/events -H "$AUTH"
