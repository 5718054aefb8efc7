"""What mining found: TOML to paste into a rules file, and a table."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from mesh.cleaned import cleaned
from mesh.cli.screen import table
from mesh.errors import InternalError
from orchestrator.router.rule_file import Rule, read
from orchestrator.rules.mine import Mined, PrecisionCount, Proposal
from orchestrator.rules.tables import share


def as_toml(mined: Mined, source: str) -> str:
    """The proposals as rules, each below its figures. Raises ``InternalError`` if it is not a rules
    file: that would be our defect, and must not reach one."""
    number = f"{len(mined.proposals)} rules"
    head = [
        f"# {number} mined from {mined.decisions:,} decisions in {_comment(source)}.",
        "# Read each one, try it with `mesh rules check`, and paste what you accept.",
    ]
    text = "\n".join(head) + "\n" + "".join(f"\n{_rule(each)}" for each in mined.proposals)
    _, problems = read(text.encode())
    if problems:
        raise InternalError(f"mining made rules that cannot be read: {problems[0]}")
    return text


def _rule(proposal: Proposal) -> str:
    rule = proposal.rule
    lines = [
        f"# covers {proposal.new} prompts that nothing else does; "
        f"{_said(proposal.logged)} in the log, {_said(proposal.held_out)} on the half held out"
    ]
    if proposal.data is not None:
        lines.append(f"# labelled prompts: {_said(proposal.data)}")
    lines += [f"#   {_comment(each)}" for each in proposal.examples]
    return "\n".join([*lines, _table(rule), ""])


def _table(rule: Rule) -> str:
    quoted = "'''" if "'" in rule.patterns[0] else "'"
    return "\n".join(
        (
            "[[rules]]",
            f'name = "{rule.name}"',
            f'specialty = "{rule.specialty}"',
            f"weight = {rule.weight:.2f}",
            f"pattern = {quoted}{rule.patterns[0]}{quoted}",
        )
    )


def _said(counted: PrecisionCount) -> str:
    if not counted.made:
        return "never fires"
    return f"{counted.right}/{counted.made} right (at least {counted.lower:.2f})"


def _comment(text: str) -> str:
    """A comment's line: TOML allows no control characters in it."""
    return cleaned(text, 400)


def show(mined: Mined, unreadable: int, screen: Console) -> None:
    """The table, and what the rules are worth with the proposals."""
    made = table(
        *("PROPOSAL", "NEW", "LOG", "AT LEAST", "HELD OUT", "LABELLED"),
        right=("NEW", "LOG", "AT LEAST", "HELD OUT", "LABELLED"),
        fixed=("NEW", "LOG", "AT LEAST", "HELD OUT", "LABELLED"),
    )
    for each in mined.proposals:
        made.add_row(
            Text(cleaned(each.rule.name)),
            str(each.new),
            _short(each.logged),
            share(each.logged.lower),
            _short(each.held_out),
            _short(each.data) if each.data else "",
        )
    if mined.proposals:
        screen.print(made)
    left = f", {unreadable:,} lines could not be read" if unreadable else ""
    covered = sum(each.new for each in mined.proposals)
    screen.print(
        Text(
            f"{mined.decisions:,} decisions, {mined.open:,} of the slower stages that no rule "
            f"covers{left}; {len(mined.proposals)} proposals cover {covered:,} of them"
        )
    )
    for name, figures in (("now", mined.before), ("with all", mined.after)):
        if figures is not None:
            screen.print(
                Text(
                    f"labelled prompts, {name}: {figures.decided:,} of {figures.labelled:,} "
                    f"decided, precision {share(figures.precision) or 'unknown'}"
                )
            )
    if not mined.proposals:
        screen.print(
            Text("nothing to propose: lower --support, --precision or --confidence, or log more")
        )


def _short(counted: PrecisionCount) -> str:
    return f"{counted.right}/{counted.made}"
