# `stats` says what this container uses of what it was granted, from its own cgroup.
_berth_first() {
  local file
  for file in "$@"; do
    [[ -r $file ]] && { print -r -- "$(<$file)"; return }
  done
}

stats() {
  local used limit load
  used=$(_berth_first /sys/fs/cgroup/memory.current /sys/fs/cgroup/memory/memory.usage_in_bytes)
  limit=$(_berth_first /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes)
  load=$(</proc/loadavg)
  [[ $limit == <-> && $#limit -lt 16 ]] && limit="$((limit / 1048576)) MiB" || limit='no limit'
  print -P "%F{cyan}memory%f  $((used / 1048576)) of $limit"
  print -P "%F{cyan}load%f    ${load%% *}"
  print -P "%F{cyan}disk%f    $(df -h / | awk 'NR == 2 {print $3 " of " $2}')"
}
