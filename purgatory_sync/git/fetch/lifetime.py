"""When an attempt is over: its whole time, which a pack that keeps coming makes longer (B 8.4)."""

from __future__ import annotations

import attrs
import trio

from ...settings import HuntSettings


@attrs.define(eq=False)
class Lifetime:
    """Moves the deadline of an attempt's scope; times are seconds of Trio's clock.

    At any age, a transfer goes on for another window (the time of silence that is allowed)
    with each part of the pack that the floor asks for in one. So silence and the floor end it, and
    the size of the pack. After the pack, the proof has the whole time anew.

    Attributes:
      scope: of the attempt; its deadline is set here.
    """

    scope: trio.CancelScope
    settings: HuntSettings
    _came: int = 0

    def begin(self) -> None:
        """The attempt starts now."""
        self.scope.deadline = trio.current_time() + self.settings.total_timeout_secs

    def received(self, pack_bytes: int) -> None:
        """So many more bytes of pack are here."""
        self._came += pack_bytes
        window = self.settings.idle_timeout_secs
        if self._came >= self.settings.min_bytes_per_sec * window:
            self._came = 0
            self._last_until(trio.current_time() + window)

    def body_ended(self) -> None:
        """The pack is here whole."""
        self._last_until(trio.current_time() + self.settings.total_timeout_secs)

    def why(self) -> str:
        """One sentence about its end."""
        secs, floor = self.settings.total_timeout_secs, self.settings.min_bytes_per_sec
        return f"not done within {secs:g} s, and less than {floor} bytes of pack a second came"

    def _last_until(self, moment: float) -> None:
        self.scope.deadline = max(self.scope.deadline, moment)
