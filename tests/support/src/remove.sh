# remove DIR: stops the PostgreSQL servers whose data is in a directory, unmounts what is mounted in it, and removes it.

is_postgres() {
    # Without /proc there is no telling; the pid file was written by a server in a directory of ours.
    [ -e /proc/self/stat ] || return 0
    # One that has ended and is not waited for has the state Z.
    read -r _ name state _ 2>/dev/null <"/proc/$1/stat" && [ "$name" = '(postgres)' ] && [ "$state" != Z ]
}

stop_server() {
    read -r server 2>/dev/null <"$1" || return 0
    case $server in '' | *[!0-9]*) return 0 ;; esac
    is_postgres "$server" || return 0
    kill -QUIT "$server" 2>/dev/null
    waits=0
    while [ "$waits" -lt 200 ] && kill -0 "$server" 2>/dev/null && is_postgres "$server"; do
        sleep 0.05
        waits=$((waits + 1))
    done
}

# A mount point cannot be removed, and what a mount shows of other places must not be.
unmount() {
    [ -e /proc/self/mounts ] || return 0
    # All of it before the first is gone: it would change while it is read.
    mounts=$(cat /proc/self/mounts)
    # No path of ours has a character that is escaped there.
    while read -r _ place _; do
        case $place in "$1"/*) umount -l "$place" 2>/dev/null ;; esac
    done <<MOUNTS
$mounts
MOUNTS
}

remove() {
    tries=0
    # What was just starting may still write: it ends when it misses its files.
    while [ -e "$1" ] && [ "$tries" -lt 100 ]; do
        # No path of ours has a line break in it.
        find "$1" -maxdepth 5 -name postmaster.pid 2>/dev/null | while read -r file; do
            stop_server "$file"
        done
        unmount "$1"
        rm -rf "$1" 2>/dev/null || sleep 0.1
        tries=$((tries + 1))
    done
}
