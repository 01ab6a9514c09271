"""Hold Nostr git events until their objects are proven to be on disk, and hunt for the objects."""

from .engine import PurgatorySync as PurgatorySync
from .engine.admission.admission import Answer as Answer
from .engine.admission.admission import Outcome as Outcome
from .engine.status.models import Statistics as Statistics
from .nostr.event import Event as Event
from .nostr.event import convert_event as convert_event
from .nostr.event import decode_event as decode_event
from .nostr.event import encode_event as encode_event
from .nostr.filters import Filter as Filter
from .nostr.filters import parse_filter as parse_filter
from .settings import Settings as Settings
from .version import __version__ as __version__
