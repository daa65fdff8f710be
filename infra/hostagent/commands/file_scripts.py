"""What a container's shell is told to do with files: a deed comes in, a script for any POSIX shell goes out.

`$1` is the path, absolute. They use what Debian's essential packages and BusyBox both have, in the way both have it.
Whatever is found is told in a line of `stat`: mode in hexadecimal, size, seconds since the epoch.
"""

from chalicelib.contract.agent_api import FileDeed, FileFault

FAULT_OF_CODE = {
    3: FileFault.IS_FOLDER,
    4: FileFault.NO_FOLDER,
    5: FileFault.NOT_A_FILE,
    6: FileFault.DENIED,
    7: FileFault.KEPT,
}
"""By the exit codes of the scripts."""

_STATUS = """
status() { stat -L -c '%f %s %Y' -- "$1"; }
"""

_LIST = """
status "$1" || exit 1
[ -d "$1" ] || exit 4
cd -- "$1" || exit 6
exec find . -mindepth 1 -maxdepth 1 -exec stat -c '%f %s %Y %n//' {} +
"""
"""No name has a slash in it, so two of them end an entry whatever the name is."""

_READ = """
status "$1" || exit 1
[ -d "$1" ] && exit 3
[ -f "$1" ] || exit 5
exec head -c "$2" -- "$1"
"""

_WRITE = """
[ -d "$1" ] && exit 3
mkdir -p -- "${1%/*}/" || exit 1
cd -P -- "${1%/*}/" || exit 6
name=./${1##*/} new=./.berth-$2
trap 'rm -f "$new"' EXIT
(set -C; cat > "$new") || exit 1
[ "$(stat -c %s "$new")" = "$3" ] || { echo "it was cut off" >&2; exit 1; }
if [ -f "$name" ]; then
  chown "$(stat -L -c %u:%g "$name")" "$new" 2> /dev/null
  chmod "$(stat -L -c %a "$name")" "$new"
fi
mv -f "$new" "$name" || exit 1
status "$name"
"""
"""Beside its place first, whole or not at all; a link there is replaced, not followed."""

_MAKE_FOLDER = """
mkdir -p -- "$1" || exit 1
status "$1"
"""

_REMOVE = """
[ -L "$1" ] || status "$1" > /dev/null || exit 1
cd -P -- "${1%/*}/" || exit 6
name=${1##*/}
case $name in "" | . | ..) exit 7 ;; esac
if [ "$(pwd -P)" = / ]; then
  case " bin boot dev etc home lib lib32 lib64 libx32 media mnt opt proc root run sbin srv sys tmp usr var " in
    *" $name "*) exit 7 ;;
  esac
fi
exec rm -rf "./$name"
"""

SCRIPTS = {
    FileDeed.LIST: _STATUS + _LIST,
    FileDeed.READ: _STATUS + _READ,
    FileDeed.WRITE: _STATUS + _WRITE,
    FileDeed.MAKE_FOLDER: _STATUS + _MAKE_FOLDER,
    FileDeed.REMOVE: _STATUS + _REMOVE,
}
