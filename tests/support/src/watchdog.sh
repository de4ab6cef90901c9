# Lines on the standard input say what there is to clean up. The input ends when the test process does.

trap '' HUP INT QUIT TERM
processes=' '
while read -r what which; do
    case $what in
    dir) set -- "$@" "$which" ;;
    process) processes="$processes$which " ;;
    ended)
        before=${processes%%" $which "*}
        [ "$before" = "$processes" ] || processes="$before ${processes#*" $which "}"
        ;;
    esac
done
# They may be using the directories.
for process in $processes; do
    kill -KILL "$process" 2>/dev/null
done
for dir; do
    remove "$dir"
done
