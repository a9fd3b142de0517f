"""Write `docs/cli.md` and `docs/methods.md` from the commands and the kinds: `make docs`."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.cli.command import JSON, Argument
from core.cli.kinds import list_families, summarise_settings
from core.cli.parser import CACHE, COMMANDS
from core.engine.spec import Family, Spec

FOLDER = Path(__file__).parents[2] / "docs"
NOTE = "<!-- Written by `make docs`; edit the code it is read from. -->"


def write_pages(folder: Path) -> list[Path]:
    """Write every generated page into `folder`; returns their paths."""
    paths = []
    for name, text in (("cli.md", format_commands()), ("methods.md", format_kinds())):
        paths.append(folder / name)
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def format_commands() -> str:
    """The commands, their arguments, the presets and the benchmarks, as Markdown."""
    from core import bench
    from core.experiments import PRESETS
    from core.experiments.presets import describe_preset

    sections = [
        "# Command line",
        NOTE,
        "`molsway COMMAND …`; in a checkout without installation `python -m core COMMAND …`. Exit status: 0 success, "
        "2 bad input (one line on stderr), 1 a run that failed. Every command also takes:",
        format_arguments((JSON, CACHE)),
        "## Commands",
        format_table(("command", "what it does"), [(f"[`{c.name}`](#{c.name})", c.help) for c in COMMANDS.values()]),
    ]
    for command in COMMANDS.values():
        usage = " ".join(["molsway", command.name, *(format_usage(one) for one in command.arguments)])
        sections += [f"### {command.name}", f"{command.help}.", f"```\n{usage}\n```"]
        sections += [format_arguments(command.arguments)] if command.arguments else []
    names = [*bench.BENCHES, *bench.LONG]
    sections += [
        "## Presets",
        "Specs with a name, for `run` and `preset`.",
        format_table(("preset", "what it is"), [(f"`{name}`", describe_preset(name)) for name in PRESETS]),
        "## Benchmarks",
        f"For `bench`: {', '.join(f'`{name}`' for name in names)}. The last {len(bench.LONG)} take hours.",
    ]
    return "\n\n".join(sections) + "\n"


def format_kinds() -> str:
    """The members of every family, then every spec kind, with their fields, as Markdown."""
    import core.experiments  # noqa: F401  (registers every spec kind)

    sections = [
        "# Methods and other kinds",
        NOTE,
        "What a spec can name: `molsway kinds KIND` prints the same. A member of a family is written by its kind alone "
        '(`"method": "lora"`), or with settings (`"method": {"kind": "lora", "rank": 4}`).',
    ]
    for family in list_families():
        sections += [f"## {family.noun.capitalize()}s", format_members(family)]
        sections += [format_kind(kind, cls) for kind, cls in family.items()]
    sections += ["## Spec kinds", "What `run` makes."]
    ours = {kind: cls for kind, cls in sorted(Spec.kinds.items()) if cls.__module__.startswith("core.")}
    sections += [format_kind(kind, cls, f"Yields: `{cls.product.__name__}`.") for kind, cls in ours.items()]
    return "\n\n".join(sections) + "\n"


def format_members(family: Family) -> str:
    """A table of a family: kinds, names, what each is."""
    rows = [
        (f"[`{kind}`](#{kind})", family.name_of(kind), summarise_settings(cls)["help"]) for kind, cls in family.items()
    ]
    return format_table(("kind", "name", "what it is"), rows)


def format_kind(kind: str, cls: type, more: str = "") -> str:
    """One kind: its name, what it is, a table of its fields."""
    schema = summarise_settings(cls)
    sections = [f"### {kind}", " ".join(filter(None, (schema["help"], more)))]
    rows = [
        (f"`{name}`", about["type"], format_default(about), format_limits(about), about["help"])
        for name, about in schema["fields"].items()
    ]
    sections += [format_table(("field", "type", "default", "limits", "help"), rows)] if rows else ["No fields."]
    return "\n\n".join(sections)


def format_default(about: Mapping[str, Any]) -> str:
    return f"`{shorten(about['default'])}`" if "default" in about else "required"


def shorten(value: Any) -> str:
    """JSON, with a member of a family by its kind alone."""

    def plain(part: Any) -> Any:
        if isinstance(part, list):
            return [plain(inner) for inner in part]
        return part["kind"] if isinstance(part, dict) and "kind" in part else part

    return json.dumps(plain(value), ensure_ascii=False)


def format_limits(about: Mapping[str, Any]) -> str:
    if "choices" in about:
        return ", ".join(f"`{one}`" for one in about["choices"])
    least, most = about.get("least"), about.get("most")
    if least is not None and most is not None:
        return f"{least:,} to {most:,}"
    return f"from {least:,}" if least is not None else f"up to {most:,}" if most is not None else ""


def format_usage(argument: Argument) -> str:
    """One argument in a usage line: `KEY`, `[--seed N]`."""
    name, settings = argument.names[0], argument.settings
    value = settings.get("metavar") or ("|".join(settings.get("choices", ())) or argument.dest.upper())
    many = " …" if settings.get("nargs") in ("*", "+") else ""
    if not name.startswith("-"):
        return f"[{value}{many}]" if settings.get("nargs") in ("?", "*") else f"{value}{many}"
    text = name if settings.get("action") == "store_true" else f"{name} {value}{many}"
    return text if settings.get("required") else f"[{text}]"


def format_arguments(arguments: Sequence[Argument]) -> str:
    rows = [(f"`{format_usage(one).strip('[]')}`", one.settings.get("help", "")) for one in arguments]
    return format_table(("argument", "meaning"), rows)


def format_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    for path in write_pages(FOLDER):
        print(path, file=sys.stderr)
