"""When to look at a job: often while it changes, seldom while it is calm, and through bad weather.

An answer "slow down" or a lost connection is waited out; a refusal ends the watching with one message.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

from launchers.aws.failures import code_of, explain
from launchers.jobs.standing import Job, Looker
from sweepmaker.config.errors import UserError

SHORTEST_S = 0.5
LONGEST_S = 20.0
_SHARE = 0.1  # of the time since something changed: a look comes at most so much later than what it sees
_SLOWER_S = 60.0  # between two looks where the service asks to slow down, and between two tries
PATIENCE_S = 900.0
"""Without any answer for so long, the watching ends."""

_THROTTLED = (
    "ThrottlingException", "Throttling", "ThrottledException", "TooManyRequestsException", "SlowDown",
    "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "BandwidthLimitExceeded",
)  # fmt: skip


class Poller:
    """Looks at one job until it has ended.

    Args:
        looker: what looks.
        say: told, as a line, when the service cannot be reached and when it is back.
        sleep: waits so many seconds; an interruption is raised there.
        clock: seconds.
    """

    def __init__(
        self,
        looker: Looker,
        say: Callable[[str], None],
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._looker = looker
        self._say = say
        self._sleep = sleep
        self._clock = clock
        self._floor = SHORTEST_S
        self._last: Job | None = None

    def jobs(self) -> Iterator[Job]:
        """The job, each time that it was looked at; the last one has ended.

        Raises:
            UserError: the service refuses, or has not answered for `PATIENCE_S`.
        """
        changed = self._clock()
        while True:
            job = self._look()
            if job != self._last:
                changed, self._last = self._clock(), job
            yield job
            if job.ended:
                return
            calm = self._clock() - changed
            self._sleep(_jittered(max(self._floor, min(calm * _SHARE, LONGEST_S))))

    def _look(self) -> Job:
        """One look, repeated until there is an answer."""
        lost: float | None = None
        told = False
        delay = SHORTEST_S
        while True:
            try:
                job = self._looker.look()
            except Exception as error:
                throttled = code_of(error) in _THROTTLED
                if not throttled and not _is_passing(error):
                    raise self._told(error) from None
                now = self._clock()
                if lost is None:
                    lost = now
                if now - lost > PATIENCE_S:
                    raise self._told(error) from None
                if not throttled and not told:
                    told = True
                    self._say(f"no answer ({_short(error)}); the job goes on, trying again")
                if throttled:
                    self._floor = min(2 * self._floor, _SLOWER_S)
                self._sleep(_jittered(delay))
                delay = min(2 * delay, _SLOWER_S)
                if not throttled:
                    self._reconnect()
                continue
            if told:
                self._say("it answers again")
            self._floor = max(SHORTEST_S, self._floor * 0.9)
            return job

    def _reconnect(self) -> None:
        """New connections: to where the services are now, with the credentials there are now."""
        try:
            self._looker.clients = self._looker.clients.again()
        except UserError:  # not back yet
            return

    def _told(self, error: Exception) -> Exception:
        return explain(error, self._looker.clients.where) or error


def _jittered(seconds: float) -> float:
    """Watchers that began together don't stay together."""
    return seconds * random.uniform(0.8, 1.2)


def _is_passing(error: Exception) -> bool:
    """The connection broke or could not be made, or the service has a problem of its own."""
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError, ResponseStreamingError

    if isinstance(error, ClientError):
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
        return status >= 500 and status != 501
    return isinstance(error, HTTPClientError | ConnectionError | ResponseStreamingError)


def _short(error: Exception) -> str:
    return code_of(error) or type(error).__name__
