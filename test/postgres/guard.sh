# Waits until whoever holds its input is gone, however that came about: a run that passed, one that failed, Ctrl-C or SIGKILL.
# Then it ends every PostgreSQL server that is noted in the folder, each by its own process id, and removes the folder.

cat >/dev/null

for note in "$1"/*/pid; do
  [ -f "$note" ] && kill -QUIT "$(cat "$note")" 2>/dev/null
done

for note in "$1"/*/pid; do
  [ -f "$note" ] || continue
  pid=$(cat "$note")
  tries=0
  while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
  kill -KILL "$pid" 2>/dev/null
done

rm -rf "$1"
