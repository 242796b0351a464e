"""Budgets: the cost of requests by user, sends by user, registrations, failed logins and failed
resumes by address.

- No more is granted than a budget has: what is granted was in its bucket.
- Nothing within a budget is refused: what is refused with `rate_limited` was not in its bucket, and
  the wait that is told is the time until it will be.

A request is charged when it is taken, and the rows of a reply when that is sent. A login or resume
is charged when it is known who logs in, which shows in the channel that its session needs then.
"""

from collections import Counter

from chat.core.state.config import NodeConfig
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import LoginRequest, RegisterRequest, ResumeRequest
from chat.protocol.rules import COST
from sim.checkers import Violation
from sim.checkers.limits.bucket import PARTS, Bucket, Kind, Use
from sim.checkers.limits.peers import SENDS, Closing, Line, Peer, Peers, Step
from sim.cluster.store import SimStore

Key = tuple[str, int | str, str]
"""The name of a budget, and whose it is: a user, or an address, or an account and an address."""

OVER = "no more is granted than a budget has"
WITHIN = "nothing within a budget is refused"


class Budgets:
    """The buckets of one node."""

    def __init__(
        self,
        config: NodeConfig,
        store: SimStore,
        peers: Peers,
        tokens: dict[str, int],
        seen: Counter[str],
    ) -> None:
        self._store = store
        self._peers = peers
        self._tokens = tokens
        self._seen = seen
        self._rows_per_cost = config.rows_per_cost
        self._rates = {
            "cost": (config.cost_per_second * 60, config.cost_burst),
            "sends": (config.sends_per_second * 60, config.send_burst),
            "registrations": (config.registrations_per_minute, config.registration_burst),
            "failed logins": (config.failed_logins_per_minute,) * 2,
            "failed resumes": (config.failed_resumes_per_minute,) * 2,
        }
        self._buckets: dict[Key, Bucket] = {}
        self._authenticating: dict[Peer, Line] = {}
        """Logins and resumes whose users have not been charged."""
        self._uses: dict[Key, dict[Peer, list[Use]]] = {}
        """What the event in hand took, by budget and connection."""
        self._refused_logins: list[tuple[tuple[Key, ...], Use]] = []
        """Refusals of the event in hand for which one of several budgets is the reason."""

    def check(self, steps: list[Step | Closing], now_ms: int) -> None:
        if not steps and not self._authenticating:
            return
        for step in steps:
            if isinstance(step, Step):
                if step.taken:
                    self._taken(step)
                if step.frame is not None:
                    self._answered(step)
        self._charge_who_logs_in()
        for key in (*self._uses, *(key for keys, _ in self._refused_logins for key in keys)):
            self._bucket(key, now_ms).move_to(now_ms)
        self._judge_refused_logins()
        for key, by_peer in self._uses.items():
            fault = self._buckets[key].judge(list(by_peer.values()))
            if fault is not None:
                raise Violation(OVER if fault.over else WITHIN, f"{key}: {fault.seen}")
        self._uses.clear()
        self._refused_logins.clear()

    def _bucket(self, key: Key, now_ms: int) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(*self._rates[key[0]], now_ms)
        return bucket

    def _use(self, peer: Peer, key: Key, use: Use) -> None:
        self._uses.setdefault(key, {}).setdefault(peer, []).append(use)

    # ------------------------------------------------------------------ what a step takes

    def _taken(self, step: Step) -> None:
        peer, request, user = step.peer, step.line.request, step.user
        wait = _refused_for(step)
        if isinstance(request, SENDS):
            if user is not None:
                self._granted(peer, ("sends", user, ""), 1, wait)
        elif user is not None:
            # Before login, and for what is no request, there is no cost.
            cost = COST.get(type(request), 0)  # type: ignore[arg-type]
            if cost and not isinstance(request, LoginRequest | ResumeRequest):
                self._granted(peer, ("cost", user, ""), cost, wait)
        elif isinstance(request, RegisterRequest):
            self._granted(peer, ("registrations", peer.address, ""), 1, wait)
        elif isinstance(request, ResumeRequest):
            key = "failed resumes", peer.address, ""
            if wait is None:
                self._use(peer, key, Use(Kind.TESTED))
                self._authenticating[peer] = step.line
            else:
                self._seen["failed_resumes_refused"] += 1
                self._use(peer, key, Use(Kind.REFUSED, 1, *wait))
        elif isinstance(request, LoginRequest):
            self._authenticating[peer] = step.line

    def _granted(self, peer: Peer, key: Key, cost: int, wait: tuple[int | None] | None) -> None:
        if wait is None:
            self._use(peer, key, Use(Kind.TAKEN, cost))
        else:
            self._seen[f"{key[0]}_refused"] += 1
            self._use(peer, key, Use(Kind.REFUSED, cost, *wait))

    def _answered(self, step: Step) -> None:
        peer, request, frame = step.peer, step.line.request, step.frame
        assert frame is not None
        login = self._authenticating.pop(peer, None)
        failed = frame.code is ErrorCode.BAD_CREDENTIALS
        if isinstance(request, LoginRequest) and step.user is None:
            if failed:
                self._use(peer, self._attempt(peer, request), Use(Kind.TAKEN))
            elif frame.code is ErrorCode.RATE_LIMITED:
                account = self._account(request)
                keys = [self._attempt(peer, request)]
                if account is not None:
                    keys.append(("cost", account, ""))
                self._refuse_login(step, *keys)
        elif isinstance(request, ResumeRequest) and step.user is None:
            if failed:
                self._use(peer, ("failed resumes", peer.address, ""), Use(Kind.CHARGED))
            elif frame.code is ErrorCode.RATE_LIMITED and login is not None:
                user = self._logs_in(request)
                if user is not None:
                    self._refuse_login(step, ("cost", user, ""))
        if login is not None and frame.code is ErrorCode.BUSY:
            # It was charged, and then there was no place for it.
            account = self._logs_in(request)
            if account is not None:
                cost = COST[type(request)]  # type: ignore[index]
                self._use(peer, ("cost", account, ""), Use(Kind.TAKEN, cost))
        user = step.user or peer.user
        if user is not None and frame.rows >= self._rows_per_cost:
            self._seen["rows_charged"] += 1
            rows = frame.rows // self._rows_per_cost
            self._use(peer, ("cost", user, ""), Use(Kind.CHARGED, rows))

    def _attempt(self, peer: Peer, request: LoginRequest) -> Key:
        """An account is one account, whether it is named by name or by number."""
        account = self._account(request)
        name = str(request.user).lower() if account is None else account
        return "failed logins", name, peer.address

    def _logs_in(self, request: object) -> int | None:
        """The user of the account or token that a request names."""
        if isinstance(request, ResumeRequest):
            return self._tokens.get(request.token)
        return self._account(request) if isinstance(request, LoginRequest) else None

    def _account(self, request: LoginRequest) -> int | None:
        column = "id" if isinstance(request.user, int) else "name"
        rows = self._store.connection.query(
            f"SELECT id FROM users WHERE {column} = ?", (request.user,)
        )
        return int(rows[0][0]) if rows else None

    def _charge_who_logs_in(self) -> None:
        for peer, line in list(self._authenticating.items()):
            session = None if peer.closed else self._peers.session(peer)
            if session is None or line not in peer.open:
                del self._authenticating[peer]
            elif session.channel is not None:
                del self._authenticating[peer]
                user = int(session.channel.removeprefix("u:"))
                cost = COST[type(line.request)]  # type: ignore[index]
                self._use(peer, ("cost", user, ""), Use(Kind.TAKEN, cost))

    # ------------------------------------------------------------------ refused logins

    def _refuse_login(self, step: Step, *keys: Key) -> None:
        assert step.frame is not None
        cost = COST[type(step.line.request)]  # type: ignore[index]
        self._seen["logins_refused"] += 1
        self._refused_logins.append((keys, Use(Kind.REFUSED, cost, step.frame.retry_after_ms)))

    def _judge_refused_logins(self) -> None:
        """One of the budgets must have been used up before or by this event."""
        for keys, use in self._refused_logins:
            faults = []
            for key in keys:
                bucket = self._buckets[key]
                used = sum(
                    one.cost * PARTS
                    for uses in self._uses.get(key, {}).values()
                    for one in uses
                    if one.kind in (Kind.TAKEN, Kind.CHARGED)
                )
                one = use if key[0] == "cost" else use._replace(cost=1)
                faults.append(bucket.refusal_fault(one, bucket.level - used, bucket.level))
            if None not in faults:
                raise Violation(WITHIN, f"{keys}: {faults}")


def _refused_for(step: Step) -> tuple[int | None] | None:
    """The wait that a refusal tells; None if the step is no refusal for a budget."""
    frame = step.frame
    if frame is not None and frame.code is ErrorCode.RATE_LIMITED:
        return (frame.retry_after_ms,)
    return None
