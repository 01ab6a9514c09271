"""Looks through a pack as it comes, before it is unpacked: bombs cost milliseconds here."""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_left

import attrs

from ...errors import BadPack, TooLarge
from ...runtime.children import stop_if_cancelled
from ...settings import HuntSettings
from .format import HEADER_BYTES, TRAILER_BYTES, delta_sizes, parse_entry_header, read_count

_STEP_BYTES = 64 * 1024
_OUT_BYTES = 1 << 20
_DELTA_SIZES_BYTES = 20
_ENTRIES_BETWEEN_STOPS = 1024
# Real packs have a tenth of it: what is large in them is compressed badly, or is a delta.
_DENSE_RATIO = 64
# Of so small objects there are few in honest packs; a million of them is the same ones again.
_TINY_BYTES = 2
# Some servers send an object twice; none so many of them.
_TINY_DOUBLES = 1_000
# What a stream has beside its content, nearly always.
_STREAM_BYTES = 64


_Header = tuple[int, int, int, int | bytes | None]


@attrs.frozen
class Scanned:
    """What a pack declares and is known to keep to.

    Attributes:
      objects: number of objects.
      total_bytes: size of all objects, deltas resolved, in bytes.
      largest_bytes: size of the largest object, or of the largest base of a delta, in bytes.
      named_bases: number of deltas whose base is given by name (it may be missing: a thin pack).
      named_base_bytes: size of those bases together, each counted as often as it is named.
      depth: the longest chain of deltas by offset.
    """

    objects: int
    total_bytes: int
    largest_bytes: int
    named_bases: int
    named_base_bytes: int
    depth: int

    def needs_depth_check(self, limit: int) -> bool:
        """Whether chains that go through names may be longer than `limit`."""
        return (self.named_bases + 1) * (self.depth + 1) > limit


class _Unended:
    """An entry whose end has not come: how much of it was seen, and its first bytes."""

    __slots__ = ("head", "header", "inflater", "seen", "size")

    def __init__(self, header: _Header, inflater: zlib._Decompress, out: bytes) -> None:
        self.header = header
        self.size = header[1]
        self.inflater = inflater
        self.seen = len(out)
        self.head = out[:_DELTA_SIZES_BYTES]


class PackScanner:
    """Inflates a pack without keeping anything, and compares what it declares with the limits.

    Only what `feed` and `finish` give back may be handed to those who unpack. The trailer, without
    which git resolves no deltas, comes last: when all is known to be within the limits (B 8.4).

    Memory: 2 MiB, and 12 bytes for each object.

    Args:
      settings: the limits.
    """

    def __init__(self, settings: HuntSettings) -> None:
        self._settings = settings
        self._received = 0
        self._tail = b""
        self._tail_at = 0
        self._count: int | None = None
        self._left = 0
        self._unended: _Unended | None = None
        self._allowed_bytes = settings.max_inflated_bytes
        self._inflated = 0
        self._total = 0
        self._largest = 0
        self._named = 0
        self._named_bytes = 0
        self._deepest = 0
        self._offsets = array("Q")
        self._depths = array("I")
        self._tiny: set[tuple[int, bytes]] = set()
        self._tiny_doubles = 0
        self._dense = True

    @property
    def is_dense(self) -> bool:
        """Whether what came last inflated to far more than usual, or nothing has come yet."""
        return self._dense

    def feed(self, data: bytes) -> bytes:
        """Judge the next bytes of the pack; returns those that are judged by now.

        Blocking work; cancelling the task that waits for it ends it.

        Raises:
          TooLarge: a limit is exceeded.
          BadPack: it is damaged, or an object is not as long as declared.
        """
        self._received += len(data)
        self._allowed_bytes += self._settings.max_inflated_ratio * len(data)
        buffer, before = self._tail + data, self._inflated
        try:
            end = self._scan(buffer)
        except (zlib.error, IndexError) as error:
            raise BadPack(f"the pack is damaged: {error}") from error
        self._tail = buffer[end:]
        self._tail_at += end
        self._dense = self._inflated - before >= _DENSE_RATIO * len(data)
        return buffer[:end]

    def finish(self) -> tuple[Scanned, bytes]:
        """Judge the whole; returns what it is like, and its trailer.

        Raises as `feed`.
        """
        if not self._received:
            raise BadPack("an empty answer instead of a pack")
        if self._count is None:
            raise BadPack("what came is no pack")
        if self._left:
            raise BadPack("the pack ends within an object")
        if len(self._tail) != TRAILER_BYTES:
            raise BadPack("the pack has no checksum")
        if self._total > self._allowed_bytes:
            raise TooLarge(f"objects of more than {self._allowed_bytes} bytes in all")
        scanned = Scanned(
            self._count,
            self._total,
            self._largest,
            self._named,
            self._named_bytes,
            self._deepest,
        )
        return scanned, self._tail

    def _scan(self, buffer: bytes) -> int:
        """The end of what is judged: a header waits until all of it is here."""
        at = 0
        if self._count is None:
            if len(buffer) < HEADER_BYTES:
                return 0
            self._count = self._left = self._read_count(buffer)
            at = HEADER_BYTES
        view = memoryview(buffer)
        if self._unended is not None:
            at = self._inflate_on(self._unended, view, at)
        if self._unended is None:
            at = self._scan_entries(buffer, view, at)
        if self._unended is None and not self._left and len(buffer) - at > TRAILER_BYTES:
            raise BadPack("bytes after the last object")
        return at

    def _scan_entries(self, buffer: bytes, view: memoryview, start: int) -> int:
        """Judge entry after entry, as far as they are here; returns the end of that.

        This loop is what a fetch of many objects waits for: hence one function, and few calls.
        """
        offsets, depths, tail_at = self._offsets, self._depths, self._tail_at
        note_offset, note_depth, decompressobj = offsets.append, depths.append, zlib.decompressobj
        while self._left:
            try:
                header = parse_entry_header(buffer, start, tail_at)
            except IndexError:
                break
            _, size, at, base = header
            depth = 0
            if size > self._largest:
                self._judge_size(size)
            if base is not None and isinstance(base, int):
                position = bisect_left(offsets, base)
                if position == len(offsets) or offsets[position] != base:
                    raise BadPack("a delta whose base is no object")
                depth = depths[position] + 1
                if depth > self._deepest:
                    self._judge_depth(depth)
            note_offset(tail_at + start)
            note_depth(depth)
            inflater, out = decompressobj(), b""
            if size <= _STEP_BYTES:
                # One call for nearly every entry there is.
                piece = view[at : at + size + _STREAM_BYTES]
                out = inflater.decompress(piece, size + 1)
                at += len(piece)
                if inflater.eof and len(out) == size:
                    start = at - len(inflater.unused_data)
                    self._inflated += size
                    self._end(header, out)
                    continue
                at -= _unread(inflater)
                self._inflated += len(out)
            self._unended = _Unended(header, inflater, out)
            at = self._inflate_on(self._unended, view, at)
            if not inflater.eof:
                return at
            start = at
        return start

    def _read_count(self, buffer: bytes) -> int:
        count = read_count(buffer)
        most = self._settings.max_objects
        if count > most:
            raise TooLarge(f"a pack of {count} objects; {most} are allowed")
        return count

    def _inflate_on(self, entry: _Unended, view: memoryview, at: int) -> int:
        """Inflate what is here of an entry's rest; returns the end of that."""
        inflater, size = entry.inflater, entry.size
        while at < len(view) and not inflater.eof:
            self._judge_length(entry)
            piece = view[at : at + _STEP_BYTES]
            # One byte more than expected, or a stream's end would not be seen; 0 means no limit.
            out = inflater.decompress(piece, min(size - entry.seen, _OUT_BYTES) + 1)
            at += len(piece) - _unread(inflater)
            entry.seen += len(out)
            self._inflated += len(out)
            if self._inflated > self._allowed_bytes:
                raise TooLarge(f"more than {self._allowed_bytes} bytes to inflate")
            if len(entry.head) < _DELTA_SIZES_BYTES:
                entry.head += out[:_DELTA_SIZES_BYTES]
            stop_if_cancelled()
        self._judge_length(entry)
        if inflater.eof:
            if entry.seen < size:
                raise BadPack("an object is shorter than the pack declares")
            self._unended = None
            self._end(entry.header, entry.head)
        return at

    def _judge_length(self, entry: _Unended) -> None:
        if entry.seen > entry.size:
            raise BadPack("an object is longer than the pack declares")

    def _end(self, header: _Header, head: bytes) -> None:
        """Judge an entry that was seen whole, by its first bytes."""
        kind, size, _, base = header
        self._left -= 1
        if not self._left % _ENTRIES_BETWEEN_STOPS:
            stop_if_cancelled()
        if self._inflated > self._allowed_bytes:
            raise TooLarge(f"more than {self._allowed_bytes} bytes to inflate")
        if base is None:
            self._total += size
            if size <= _TINY_BYTES:
                self._refuse_twice(kind, head)
            return
        base_bytes, result_bytes = delta_sizes(head)
        if base_bytes > self._largest:
            self._judge_size(base_bytes)
        if result_bytes > self._largest:
            self._judge_size(result_bytes)
        self._total += result_bytes
        if isinstance(base, bytes):
            self._named += 1
            self._named_bytes += base_bytes

    def _refuse_twice(self, kind: int, content: bytes) -> None:
        if (kind, content) in self._tiny:
            self._tiny_doubles += 1
            if self._tiny_doubles > _TINY_DOUBLES:
                raise BadPack("the pack holds the same objects twice, and twice again")
        self._tiny.add((kind, content))

    def _judge_depth(self, depth: int) -> None:
        most = self._settings.max_delta_depth
        if depth > most:
            raise TooLarge(f"a chain of more than {most} deltas")
        self._deepest = depth

    def _judge_size(self, size: int) -> None:
        most = self._settings.max_object_bytes
        if size > most:
            raise TooLarge(f"an object of {size} bytes; {most} are allowed")
        self._largest = size


def _unread(inflater: zlib._Decompress) -> int:
    """How much of what it was given last an inflater did not need, or not yet."""
    return len(inflater.unused_data if inflater.eof else inflater.unconsumed_tail)
