# Runs a server (`$2…`) in the directory `$1` and obeys one command a line on standard input, until
# it ends, which is when the owner closes it or dies. Then it kills the server and removes the
# directory. `obeyed` in the directory counts the commands that are done, `pid` is the server's.

directory=$1
shift

start() {
    setsid "$@" >"$directory/log" 2>&1 &
    server=$!
    publish pid "$server"
}

publish() {
    echo "$2" >"$directory/$1.new" && mv "$directory/$1.new" "$directory/$1"
}

# The server's children that live. Postgres gives each a session of its own, so that its process
# group is not enough.
children() {
    for stat in /proc/[0-9]*/stat; do
        read -r line <"$stat" || continue
        stat=${stat#/proc/}
        # The state and the parent follow the name, which is in parentheses and may contain any.
        case ${line##*) } in
            "Z "*) ;;
            ?" $server "*) echo "${stat%/stat}" ;;
        esac
    done
}

# Stops the server alone; when this returns it starts no more children.
freeze() {
    kill -STOP "$server" || return
    while read -r line <"/proc/$server/stat"; do
        case ${line##*) } in
            [TZ]*) break ;;
        esac
        sleep 0.01
    done
}

pause() {
    freeze
    for child in $(children); do kill -STOP "$child"; done
}

resume() {
    for child in $(children); do kill -CONT "$child"; done
    kill -CONT "$server"
}

# Nobody gets to say goodbye: the children first, while the server cannot notice.
kill_all() {
    [ "$server" ] || return
    freeze
    while found=$(children) && [ "$found" ]; do
        for child in $found; do kill -KILL "$child"; done
        sleep 0.01
    done
    kill -KILL "$server"
    wait "$server"
    # Deeper descendants, such as the server that creates a cluster, are in the process group.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        kill -KILL "-$server" || break
        sleep 0.05
    done
    rm -f "$directory/pid"
    server=
}

# Both servers take SIGINT as the request to shut down without waiting for their clients.
shut_down() {
    [ "$server" ] || return
    resume
    kill -INT "$server"
    wait "$server"
    rm -f "$directory/pid"
    server=
}

obeyed=0
start "$@"
while read -r command; do
    case $command in
        kill) kill_all ;;
        pause) pause ;;
        resume) resume ;;
        restart) shut_down; start "$@" ;;
    esac
    obeyed=$((obeyed + 1))
    publish obeyed "$obeyed"
done
kill_all
# Postgres marks its data directory by a System V segment, which outlives a kill.
if [ -f "$directory/data/postmaster.pid" ]; then
    ipcrm -m "$(sed -n '7s/^ *[0-9]* *//p' "$directory/data/postmaster.pid")"
fi
cd / && rm -rf "$directory"
