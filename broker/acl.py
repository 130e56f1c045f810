"""Access control on the Redis of a run: one ACL user per role, limited to the keys of the run.

The rule of a role lists the keys it may write, the keys it may only read, and its commands: those it sends itself and
those its scripts call. The server checks every command of a script against the same rule, so EVAL gives an attacker
no further rights. Only the key check of EVAL itself is wider: the server cannot know which keys a script reads or
writes, so a separate selector lets a script name any key of the run.

All passwords are derived from one secret, as the HMAC-SHA-256 of the user name, so that a run keeps one secret only.
A role cannot compute the password of another role from its own.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from broker.errors import UsageError
from broker.keys import Keys, stage_name
from broker.scripts import Script
from conf.redact import redacted

Role = Literal["driver", "actor", "preprocess", "learner", "reader"]
"""`driver` opens, supervises and closes a run; `reader` is for dashboard, audit and ledger."""
ROLES: tuple[Role, ...] = get_args(Role)

_EVERY_CLIENT = ("ping", "client|setname")
_OUTCOMES = ("ended", "ended_codes", "written", "rollout_outcomes")
_ROLLOUT_SCRIPTS = ("claim", "renew", "publish", "fail", "reclaim")


@dataclass(frozen=True)
class Rule:
    """The permissions of a role. Keys are named by attributes of `Keys`; `metrics.ROOM` is the stream of a room."""

    writes: tuple[str, ...]
    reads: tuple[str, ...]
    scripts: tuple[str, ...]
    commands: tuple[str, ...]
    """Commands the role sends outside of scripts."""
    stages: bool
    """Whether the rule also covers the keys of the run's sampling stages."""


RULES: dict[Role, Rule] = {
    "actor": Rule(
        writes=(
            "feed", "leases", "owners", "claims", "claimed_versions", "attempts", "reissue", "answered", "failures",
            "counters",
            "rollouts", "written", "weights_held", "samples", "samples_shown", "heartbeats", "metrics.actors",
            "metrics.times", "assignments",
        ),
        reads=("run", "tasks", "learner", "weights", "weights_board", "control", "ledger_outcomes"),
        scripts=(*_ROLLOUT_SCRIPTS, "append_assignments", "note", "append", "show", "beat"),
        commands=("hget", "hgetall", "lindex", "lrange", "zrange", "xread", "xrevrange"),
        stages=True,
    ),
    "preprocess": Rule(
        writes=(
            "rollouts", "ring", "ring_meta", "payload", "counters", "replaced", *_OUTCOMES, "forgotten", "failures",
            "dead_letters", "ledger_attempts", "ledger_successes", "ledger_first_solve", "ledger_outcomes",
            "heartbeats", "metrics.preprocess", "metrics.groups", "metrics.times",
        ),
        reads=("run", "weights_board", "control"),
        scripts=("recover", "put", "drop", "dead_letter", "append", "beat"),
        commands=("xgroup|create", "xreadgroup", "xclaim", "xlen", "hget", "hvals"),
        stages=False,
    ),
    "learner": Rule(
        writes=(
            "ring", "ring_meta", "payload", "batches", "learner", "counters", "claimed_versions", *_OUTCOMES,
            "forgotten", "weights", "weights_board", "control", "samples_ratios", "heartbeats", "metrics.learner",
            "metrics.sft", "metrics.times",
        ),
        reads=("run", "weights_held", "samples_shown", "leases", "rollouts"),
        scripts=("adopt", "take", "commit", "trim", "announce", "note", "append", "beat"),
        commands=("xrange", "xrevrange", "lrange", "hget", "hmget", "hgetall"),
        stages=False,
    ),
}  # fmt: skip
"""Driver and reader are limited to the keys of the run: the driver may write all of them, the reader none."""

_DRIVER = (
    "+@read", "+@write", "+@transaction", "-function", "-@dangerous", "-scan", "-randomkey",
    "+eval", "+evalsha", "+eval_ro", "+evalsha_ro", "+time", "+info",
)  # fmt: skip
_READER = ("+@read", "+@transaction", "-@dangerous", "-scan", "-randomkey", "+eval_ro", "+evalsha_ro", "+time", "+info")


def user(run: str, role: Role) -> str:
    """The user name of a role."""
    return f"pope-{run}-{role}"


def password(secret: str, run: str, role: Role) -> str:
    """The password of `user(run, role)`, 64 hex digits."""
    return hmac.new(secret.encode(), user(run, role).encode(), hashlib.sha256).hexdigest()


def user_rule(secret: str, run: str, role: Role) -> list[str]:
    """The arguments that create the user: `ACL SETUSER *words` on a server, `user *words` in its configuration.

    They contain the hash of the password, not the password.
    """
    digest = hashlib.sha256(password(secret, run, role).encode()).hexdigest()
    return [user(run, role), "on", f"#{digest}", *permissions(run, role)]


def permissions(run: str, role: Role) -> list[str]:
    """The rule of a role in the ACL syntax of Redis."""
    all_keys = [Keys(run), Keys(stage_name(run, "*"))]
    everything = [f"~{keys.prefix}*" for keys in all_keys]
    client = [f"+{command}" for command in _EVERY_CLIENT]
    if role == "driver":
        return [*everything, *_DRIVER, *client]
    if role == "reader":
        return [*(f"%R{pattern}" for pattern in everything), *_READER, *client]
    rule = RULES[role]
    covered = all_keys if rule.stages else all_keys[:1]
    commands = sorted({*rule.commands, *(c for name in rule.scripts for c in Script(name).commands)})
    return [
        *(f"~{_key(keys, name)}" for keys in covered for name in rule.writes),
        *(f"%R~{_key(keys, name)}" for keys in covered for name in rule.reads),
        *(f"+{command}" for command in commands),
        *client,
        f"({' '.join(f'~{keys.prefix}*' for keys in covered)} +eval +evalsha +eval_ro +evalsha_ro)",
    ]


def role_url(url: str, run: str, role: Role) -> str:
    """The URL a role logs in with, derived from a URL whose password is the secret of the run.

    A URL that already names a user of the run is returned unchanged. Raises UsageError when `url` has no password.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    if unquote(parts.username or "") in {user(run, each) for each in ROLES}:
        return url
    secret = secret_of(url)
    if secret is None:
        raise UsageError(
            f"broker.url={redacted(url)} holds no password, and broker.role_users=true derives the "
            "passwords of the roles from it; add one"
        )
    host = parts.netloc.rpartition("@")[2]
    login = f"{quote(user(run, role))}:{password(secret, run, role)}"
    rest = {name: value for name, value in options.items() if name not in ("username", "password")}
    return urlunsplit(parts._replace(netloc=f"{login}@{host}", query=urlencode(rest)))


def run_of(url: str) -> str | None:
    """The run whose reader logs in with this URL; None for any other user, who may see several runs.

    >>> run_of("redis://pope-big-reader:secret@host:6380/0"), run_of("redis://:secret@host:6380/0")
    ('big', None)
    """
    match = re.fullmatch(user("(.+)", "reader"), unquote(urlsplit(url).username or ""))
    return match[1] if match else None


def secret_of(url: str) -> str | None:
    """The password in a URL; None when there is none."""
    parts = urlsplit(url)
    return unquote(parts.password or "") or dict(parse_qsl(parts.query)).get("password") or None


def _key(keys: Keys, name: str) -> str:
    attribute, _, room = name.partition(".")
    return keys.metrics(room) if room else str(getattr(keys, attribute))
