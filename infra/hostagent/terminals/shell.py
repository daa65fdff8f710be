"""The shell that a terminal runs: whose it is comes in, the command that finds and begins it goes out."""

from infra.hostagent.commands.execs import Running
from infra.hostagent.ports import Command

_TERMINAL = {"TERM": "xterm-256color", "LANG": "C.UTF-8"}

_FIND = """
me=$1 name= home= shell=
while IFS=: read -r a _ c _ _ f g; do
  if [ "$a" = "$me" ] || [ "$c" = "$me" ]; then name=$a home=$f shell=$g; break; fi
done 2>/dev/null </etc/passwd
if [ -z "$home" ] || [ ! -d "$home" ]; then home=/; [ -d /home/user ] && home=/home/user; fi
case $shell in */nologin|*/false) shell= ;; esac
[ -f "$shell" ] && [ -x "$shell" ] || shell=/bin/sh
HOME=$home SHELL=$shell USER=${name:-root} LOGNAME=${name:-root}
export HOME SHELL USER LOGNAME
cd "$home" 2>/dev/null || cd /
exec "$shell" -l
"""
"""By nothing but the shell itself: the least of images have no more."""

PROBE = ("/bin/sh", "-c", ":")
"""Says whether there are such a user and a shell."""


def shell_of(user: str, inside: Running) -> Command:
    """The login shell of a user, by name or number, in their home folder on a terminal."""
    argv = ("/bin/sh", "-c", _FIND, "berth", user)
    return Command(argv, user, None, inside.environment(_TERMINAL), reads=True, tty=True)
