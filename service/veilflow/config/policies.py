"""The loader of policies: rules with their places, and what a policy inherits from the one that it extends."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from veilflow.config.attached import with_files
from veilflow.config.files import column_name, find, find_project
from veilflow.config.nodes import Mapping, Node, read_yaml
from veilflow.config.objects import AcknowledgementConfig, PolicyConfig, RuleConfig
from veilflow.errors import Place, VeilError, raise_all
from veilflow.model import CLASSIFICATIONS

FACTS = (
    "purpose", "legal_basis", "controller", "recipients", "retention", "transfers", "owner", "review_date"
)  # fmt: skip
UNLISTED = ("refuse", "drop", "redact")
_WILDCARDS = "*?"


@dataclass
class _File:
    """What one file says by itself."""

    facts: dict[str, str] = field(default_factory=dict)
    unlisted: str | None = None
    unsafe_keep: dict[str, str] = field(default_factory=dict)
    columns: dict[str, RuleConfig] = field(default_factory=dict)
    globs: dict[str, RuleConfig] = field(default_factory=dict)
    tags: dict[str, RuleConfig] = field(default_factory=dict)
    classes: dict[str, RuleConfig] = field(default_factory=dict)
    acknowledged: tuple[AcknowledgementConfig, ...] = ()
    show_values: bool | None = None


def load_policy(project: Path | None, name_or_path: str) -> PolicyConfig:
    """``policies/<name>.yaml`` of the project, or the file of a path that ends in .yaml or .yml, with what it extends."""
    if Path(name_or_path).suffix in (".yaml", ".yml"):
        path, shown = Path(name_or_path), name_or_path
        if not path.is_file():
            raise VeilError("VEIL204", f"there is no policy file {shown}", "check the path")
    else:
        directory = (project or find_project(None)) / "policies"
        path, shown = find(directory, name_or_path, "policy"), f"policies/{name_or_path}.yaml"
    return with_files(_load(path, shown, ()), project or path.parent)


def _load(path: Path, shown: str, children: tuple[str, ...]) -> PolicyConfig:
    problems: list[VeilError] = []
    root = Mapping(read_yaml(path, shown, if_empty="VEIL206"), shown, problems)
    root.version()
    parent = _parent(root, path, shown, (*children, path.stem))
    found = _read(root, problems)
    root.end()
    policy = _merge(path.stem, found, parent, Place(shown))
    problems += _unfinished(policy)
    if not (policy.columns or policy.wide_rules) and not problems:
        problems.append(
            VeilError("VEIL206", f"{shown} has no rule", "list each column with its class and treatment", Place(shown))
        )
    raise_all(problems)
    return policy


def _parent(root: Mapping, path: Path, shown: str, chain: tuple[str, ...]) -> PolicyConfig | None:
    """The policy under ``extends:``, which lies beside this one. VEIL202 where a chain comes back to itself."""
    name, node = root.text("extends"), root.node("extends")
    if name is None or node is None:
        return None
    if name in chain:
        raise VeilError(
            "VEIL202", f"{shown}: extends goes in a circle: {' -> '.join((*chain[chain.index(name) :], name))}",
            "one of these policies must not extend another", node.place,
        )  # fmt: skip
    try:
        parent = find(path.parent, name, "policy")
    except VeilError as error:
        raise VeilError(error.code, f"extends: {error.problem}", error.hint, node.place) from None
    return _load(parent, str(Path(shown).with_name(parent.name)), chain)


def _read(root: Mapping, problems: list[VeilError]) -> _File:
    found = _File(facts=_facts(root))
    found.unlisted, found.unsafe_keep = _unlisted(root)
    for name, node in _entries(root, "columns"):
        _column_rule(found, name, node, problems)
    for name, node in _entries(root, "tags"):
        found.tags[name] = _rule(name, node, f'tag "{name}"', problems)[0]
    for name, node in _entries(root, "classes"):
        _class_default(found, name, node, problems)
    found.acknowledged = _acknowledged(root.node("acknowledge"), problems)
    shows = root.choice("show_values", ("record", "refuse"))
    found.show_values = None if shows is None else shows == "record"
    for name in found.columns.keys() & found.unsafe_keep.keys():
        problems.append(
            VeilError("VEIL206", f'two rules decide the column "{name}"', "take it out of unsafe_keep",
                      found.columns[name].place)
        )  # fmt: skip
    return found


def _entries(root: Mapping, key: str) -> list[tuple[str, Node]]:
    """What stands under ``key``; nothing where the key is left empty."""
    node = root.node(key)
    if node is None or node.value is None:
        return []
    found = root.sub(key)
    return list(found.items()) if found else []


def _facts(root: Mapping) -> dict[str, str]:
    facts = {}
    for key in FACTS:
        value = root.take(key, (str, int, float, list), "text")
        if value is not None:
            facts[key] = ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
    if "review_date" in facts:
        _date(facts["review_date"], root, "review_date")
    return facts


def _date(written: str, found: Mapping, key: str) -> date:
    try:
        return date.fromisoformat(written)
    except ValueError:
        found.wrong(found.node(key) or Node(None, found.place), "must be a date: YYYY-MM-DD", key)
        return date.max


def _unlisted(root: Mapping) -> tuple[str | None, dict[str, str]]:
    node = root.node("unlisted_columns")
    if node is None:
        return None, {}
    if isinstance(node.value, dict):
        outer = Mapping(node, "unlisted_columns", root._problems)
        kept = outer.sub("unsafe_keep", required=True)
        outer.end()
        reasons = {column_name(column): reason.value for column, reason in kept.items()} if kept else {}
        if not all(isinstance(reason, str) and reason.strip() for reason in reasons.values()):
            root.wrong(node, "needs a reason for each column", "unlisted_columns.unsafe_keep")
        return "refuse", reasons
    if node.value == "unsafe_keep":
        root.wrong(
            node,
            "must name each column that it keeps",
            "unlisted_columns",
            "`unlisted_columns: {unsafe_keep: {COLUMN: reason}}`",
        )
        return "refuse", {}
    return root.choice("unlisted_columns", UNLISTED, "refuse"), {}


# --- rules -------------------------------------------------------------------------------


def _column_rule(found: _File, name: str, node: Node, problems: list[VeilError]) -> None:
    """A rule under ``columns:``: a glob where its name has a ``*`` or ``?``, unless it says ``match: exact``."""
    rule, match = _rule(column_name(name), node, f'column "{name}"', problems)
    wild = any(mark in name for mark in _WILDCARDS) and match != "exact"
    rules = found.globs if wild else found.columns
    if rule.column in rules:
        problems.append(
            VeilError("VEIL206", f'two rules decide the column "{rule.column}"', "keep one of them", node.place)
        )
    rules[rule.column] = rule


def _rule(name: str, node: Node, what: str, problems: list[VeilError]) -> tuple[RuleConfig, str]:
    rule = Mapping(node, what, problems)
    match = rule.choice("match", ("exact", "glob"), "glob")
    config = RuleConfig(
        column=name,
        classification=rule.choice("class", CLASSIFICATIONS, required=True),
        treatments=_treatments(rule.node("treatment"), rule),
        key_domain=rule.text("key_domain"),
        reason=rule.text("reason"),
        place=node.place,
        unsafe_weaken=rule.text("unsafe_weaken"),
    )
    if config.unsafe_weaken is not None and not config.unsafe_weaken.strip():
        rule.wrong(node, "needs a reason", "unsafe_weaken")
    rule.end()
    return config, match


def _class_default(found: _File, name: str, node: Node, problems: list[VeilError]) -> None:
    rule = Mapping(node, f"classes.{name}", problems)
    if name not in CLASSIFICATIONS:
        rule.wrong(node, "is not a class", None, "there are: " + ", ".join(CLASSIFICATIONS))
    treatments = _treatments(rule.node("treatment", required=True), rule)
    found.classes[name] = RuleConfig(name, name, treatments, rule.text("key_domain"), rule.text("reason"), node.place)
    rule.end()


def _treatments(node: Node | None, rule: Mapping) -> tuple[tuple[str, dict[str, Any]], ...]:
    """A name, a mapping of one name to its parameters, or a list of these; nothing where the class's default holds."""
    if node is None:
        return ()
    entries = node.value if isinstance(node.value, list) else [node]
    if not entries:
        rule.wrong(node, "must not be an empty list", "treatment")
    found: list[tuple[str, dict[str, Any]]] = []
    for entry in entries:
        if entry.value is None and entry.written == "null":
            found.append(("null", {}))
        elif isinstance(entry.value, str) and entry.value:
            found.append((entry.value, {}))
        elif isinstance(entry.value, dict) and len(entry.value) == 1:
            ((name, parameters),) = entry.value.items()
            plain = parameters.plain
            if not isinstance(plain, dict):
                rule.wrong(entry, f"takes its parameters as {name}: {{name: value}}", "treatment")
                plain = {}
            found.append((name, plain))
        else:
            rule.wrong(entry, "must be a treatment's name, {name: {parameters}}, or a list of these", "treatment")
    return tuple(found)


def _acknowledged(node: Node | None, problems: list[VeilError]) -> tuple[AcknowledgementConfig, ...]:
    if node is None:
        return ()
    if not isinstance(node.value, list):
        hint = "acknowledge: [{finding: …, column: …, reason: …, owner: …, expires: YYYY-MM-DD}]"
        problems.append(VeilError("VEIL202", "acknowledge must be a list", hint, node.place))
        return ()
    found = []
    for entry in node.value:
        one = Mapping(entry, "acknowledge", problems)
        finding, reason, owner = (one.text(key, "", required=True) for key in ("finding", "reason", "owner"))
        column, expires = one.text("column"), one.text("expires", "", required=True)
        until = _date(expires, one, "expires") if expires else date.max
        one.end()
        name = None if column is None else column_name(column)
        found.append(AcknowledgementConfig(finding, name, reason, owner, until, entry.place))
    return tuple(found)


# --- inheritance -------------------------------------------------------------------------


def _merge(name: str, own: _File, parent: PolicyConfig | None, place: Place) -> PolicyConfig:
    """Own rules before inherited ones of the same name; a rule without a treatment takes its class's default."""
    classes = {**_inherited(parent.classes), **own.classes} if parent else own.classes
    keeps = {**parent.unsafe_keep, **own.unsafe_keep} if parent else own.unsafe_keep

    def rules(kind: str) -> dict[str, RuleConfig]:
        mine: dict[str, RuleConfig] = getattr(own, kind)
        merged = {**_without_defaults(parent, kind), **mine} if parent else mine
        return {key: _with_default(rule, classes) for key, rule in merged.items()}

    columns = rules("columns")
    return PolicyConfig(
        name=name,
        columns={key: rule for key, rule in columns.items() if not (rule.inherited and key in own.unsafe_keep)},
        unlisted_columns=own.unlisted or (parent.unlisted_columns if parent else "refuse"),
        facts={**(parent.facts if parent else {}), **own.facts},
        place=place,
        unsafe_keep={key: reason for key, reason in keeps.items() if key not in own.columns},
        globs=rules("globs"),
        tags=rules("tags"),
        classes=classes,
        parent=parent,
        acknowledged=(*(parent.acknowledged if parent else ()), *own.acknowledged),
        show_values=(own.show_values is not False) and (parent is None or parent.show_values),
    )


def _inherited(rules: Any) -> dict[str, RuleConfig]:
    return {key: replace(rule, inherited=True, unsafe_weaken=None) for key, rule in rules.items()}


def _without_defaults(parent: PolicyConfig, kind: str) -> dict[str, RuleConfig]:
    """The parent's rules as they were written: a default that a child changes holds for inherited rules as well."""
    rules = {}
    for key, rule in _inherited(getattr(parent, kind)).items():
        if rule.default is not None:
            default = parent.classes[rule.classification or ""]
            own_domain = None if rule.key_domain == default.key_domain else rule.key_domain
            rule = replace(rule, treatments=(), key_domain=own_domain, default=None)
        rules[key] = rule
    return rules


def _with_default(rule: RuleConfig, classes: dict[str, RuleConfig]) -> RuleConfig:
    default = classes.get(rule.classification or "")
    if rule.treatments or default is None:
        return rule
    domain = rule.key_domain if rule.key_domain is not None else default.key_domain
    return replace(rule, treatments=default.treatments, key_domain=domain, default=default.place)


def _unfinished(policy: PolicyConfig) -> list[VeilError]:
    """Rules that name no treatment and whose class has no default."""
    rules = (*policy.columns.values(), *policy.globs.values(), *policy.tags.values())
    return [
        VeilError("VEIL201", f'"{rule.column}" needs the key "treatment": its class has no default',
                  f"add `treatment:` to it, or `classes: {{{rule.classification}: {{treatment: …}}}}`", rule.place)
        for rule in rules
        if not rule.treatments and rule.classification
    ]  # fmt: skip


# --- the project's other policies --------------------------------------------------------


def policy_names(project: Path) -> tuple[str, ...]:
    """The names of the project's policies, sorted."""
    return tuple(sorted(path.stem for path in (project / "policies").glob("*.yaml")))


def purposes_elsewhere(project: Path, policy: PolicyConfig) -> dict[str, tuple[tuple[str, str], ...]]:
    """For each key domain that the policy names: the other policies that name it too, with their purposes.

    Not those that it extends. A policy that cannot be read is not asked: who uses it will hear of it.
    """
    rules = (*policy.columns.values(), *policy.wide_rules)
    domains = {rule.key_domain for rule in rules if rule.key_domain is not None}
    ancestors = {policy.name}
    above = policy.parent
    while above is not None:
        ancestors.add(above.name)
        above = above.parent
    found: dict[str, list[tuple[str, str]]] = {domain: [] for domain in domains}
    for name in policy_names(project) if domains else ():
        other = None if name in ancestors else _readable(project, name, domains)
        if other is None or "purpose" not in other.facts or _extends(other, policy.name):
            continue
        theirs = {rule.key_domain for rule in (*other.columns.values(), *other.wide_rules)}
        for domain in domains & theirs:
            found[str(domain)].append((name, other.facts["purpose"]))
    return {domain: tuple(others) for domain, others in found.items() if others}


def _extends(policy: PolicyConfig, name: str) -> bool:
    above = policy.parent
    return above is not None and (above.name == name or _extends(above, name))


def _readable(project: Path, name: str, domains: set[str]) -> PolicyConfig | None:
    """The policy, if it names one of the domains at all; looking at the text first spares the parser."""
    try:
        text = (project / "policies" / f"{name}.yaml").read_text(encoding="utf-8")
        if "extends" not in text and not any(domain in text for domain in domains):
            return None
        return load_policy(project, name)
    except (VeilError, OSError, UnicodeDecodeError):
        return None
