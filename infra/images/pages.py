"""The pages on roles and images: recipes and the versions measured from builds come in, Markdown files go out."""

import json
from collections.abc import Iterator
from importlib import resources

from infra.images.families import Family, families
from infra.images.recipes import Install, Role, Tool, roles

MEASURED_ON = "debian"
IMAGES = {"debian": "debian:bookworm", "ubuntu": "ubuntu:24.04", "alpine": "alpine:latest", "arch": "archlinux:latest"}
"""What the image of each family is asked for by."""

_WRITTEN = "<!-- Written by `make images` from the recipes; do not edit. -->"
_FROM = {"pypi": "PyPI", "npm": "the npm registry", "internet": "its own site"}


def pages() -> dict[str, str]:
    """Every page of `docs/images` by its name."""
    made = {f"{role.id}.md": _role_page(role) for role in roles().values()}
    made |= {f"image-{name}.md": _image_page(name, family) for name, family in families().items()}
    return {"index.md": _index(), **{name: made[name] for name in sorted(made)}}


def measured() -> dict[str, dict[str, str]]:
    """What tools said of themselves in images that were built, by role and tool; the shell's packages by no role."""
    text = resources.files("infra.images").joinpath("measured.json").read_text()
    found: dict[str, dict[str, str]] = json.loads(text)
    return found


def _role_page(role: Role) -> str:
    lines = [_WRITTEN, f"# Role `{role.id}`: {role.title}", "", *_tools(role), "", "Where each comes from:", ""]
    lines += ["| tool | " + " | ".join(family.title for family in families().values()) + " |"]
    lines += ["|---" * (len(families()) + 1) + "|"]
    for tool in role.tools:
        cells = [_how(tool.install_on(name)) for name in families()]
        lines.append(f"| {tool.name} | " + " | ".join(cells) + " |")
    lines += ["", *_login(role), "[All images and roles](index.md)", ""]
    return "\n".join(lines)


def _image_page(name: str, family: Family) -> str:
    versions = measured()[""] if name == MEASURED_ON else {}
    lines = [
        _WRITTEN,
        f"# Image `{IMAGES[name]}`: {family.title}",
        "",
        f"As `{IMAGES[name]}` or `{IMAGES[name].split(':')[0]}`.",
    ]
    lines += ["", "| asked for | people's login shell | besides what the image itself has |", "|---|---|---|"]
    lines.append(f"| nothing else | `{family.shells['zsh']}` | the packages below, `user` |")
    lines.append(
        f"| a role, `shell.enhanced` false | `{family.shells[family.default_shell]}` | the role's tools, curl, `user` |"
    )
    lines.append("| role `barebone`, or no role and `shell.enhanced` false | the image's own | `user` |")
    lines += ["", "| package | version |", "|---|---|"]
    unknown = "as the distribution has it; not built where this was written"
    lines += [f"| {package} | {versions.get(package, unknown)} |" for package in _packages(family)]
    lines += ["", "| role | comes with |", "|---|---|"]
    for role in roles().values():
        tools = ", ".join(_named(role, tool, name) for tool in role.tools)
        lines.append(f"| [`{role.id}`]({role.id}.md) | {tools} |")
    return "\n".join([*lines, "", "[All images and roles](index.md)", ""])


def _named(role: Role, tool: Tool, family: str) -> str:
    version = measured().get(role.id, {}).get(tool.name) if family == MEASURED_ON else None
    return f"{tool.name} {version}" if version else tool.name


def _packages(family: Family) -> list[str]:
    named = {name for names in family.packages.values() for name in names}
    return sorted(named | {"ca-certificates", "curl", "less"})


def _tools(role: Role) -> Iterator[str]:
    yield f"| tool | shows itself by | version on {families()[MEASURED_ON].title} |"
    yield "|---|---|---|"
    for tool in role.tools:
        yield f"| {tool.name} | `{tool.check}` | {_version(role, tool)} |"


def _version(role: Role, tool: Tool) -> str:
    version = measured().get(role.id, {}).get(tool.name)
    if version is not None:
        return f"{version} (measured)"
    install = tool.install_on(MEASURED_ON)
    url = role.downloads[install.download].url if install.download else ""
    return f"not built where this was written; the recipe names <{url.replace('{', '').replace('}', '')}>"


def _how(install: Install) -> str:
    packages = ", ".join(f"`{name}`" for name in install.packages)
    if install.source == "distribution":
        return f"packages {packages}"
    return _FROM[install.source] + (f", with packages {packages}" if packages else "")


def _login(role: Role) -> Iterator[str]:
    if role.login:
        yield from ("Every login shell reads:", "", "```sh", *role.login, "```", "")


def _index() -> str:
    lines = [
        _WRITTEN,
        "# Images and roles",
        "",
        *_INTRODUCTION,
        "",
        "| image | shell | packages that come with it |",
        "|---|---|---|",
    ]
    lines += [_family(name, family) for name, family in families().items()]
    lines += ["", "| role | tools | page |", "|---|---|---|"]
    for role in roles().values():
        lines.append(f"| `{role.id}` | {', '.join(tool.name for tool in role.tools)} | [{role.title}]({role.id}.md) |")
    lines.append("| `barebone` | none: the image as it is, with its own shell and the user | |")
    return "\n".join([*lines, "", *_SHELL, ""])


def _family(name: str, family: Family) -> str:
    return f"| [`{IMAGES[name]}`](image-{name}.md) | `{family.shells['zsh']}` | {', '.join(_packages(family))} |"


_INTRODUCTION = (
    "What a container finds inside is decided by `image`, `role` and `shell`. A role's tools and the shell are",
    "put into an image once per host, by the recipes in `infra/images`; from then on a container starts from that",
    "image as quickly as from any other. A tool that cannot be installed fails the creation with code",
    "`role_failed` and its name.",
    "",
    "Every container has an ordinary user, `user` with uid 1000 and `/home/user`. Only root may change the",
    "system; there is no `sudo`, since no process can gain rights. An image of a distribution that is none of",
    "these keeps its own shell and says so while it is created; it has no roles.",
)

_SHELL = (
    "## The shell",
    "",
    "Unless the role is `barebone` or `shell.enhanced` is false, people log in to zsh. `shell` says what is on;",
    "`/etc/berth` holds it, and your own settings go into `~/.zshrc`.",
    "",
    "| setting | default | what it does |",
    "|---|---|---|",
    "| `theme` | `berth` | `berth`: user, folder, branch; `minimal`: the folder; `powerline`: blocks |",
    "| `autosuggestions` | on | proposes the rest of a line from your history |",
    "| `syntax_highlight` | on | colours the line while you type |",
    "| `history_search` | on | up and down look for lines that begin like this one; Control-R searches |",
    "| `git_aliases` | on | `gst`, `gco`, `gd`, `gcm`, `gp` and others: see `alias` |",
    "| `system_stats` | off | memory, load and disk at login, and again by `stats` |",
    "| `use_tmux` | off | a login is in the tmux session `main`, which outlives it |",
)
