"""The stand-in's clock, which tests may move, and KSeF's way to write time."""

import calendar
import datetime


class Clock:
    """UTC wall clock with an offset, so that a test need not wait 10 minutes."""

    def __init__(self):
        self.offset_seconds = 0

    def now(self):
        """The current instant as an aware UTC datetime."""
        real = datetime.datetime.now(datetime.timezone.utc)
        return real + datetime.timedelta(seconds=self.offset_seconds)


def iso(instant):
    """KSeF API 2.0 writes `+00:00` and seven fractional digits."""
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0+00:00"


def milliseconds(instant):
    """Milliseconds since the epoch, truncated, as in `timestampMs`."""
    seconds = calendar.timegm(instant.utctimetuple())
    return seconds * 1000 + instant.microsecond // 1000


def unix_seconds(instant):
    """Seconds since the epoch, truncated, as in JWT claims."""
    return calendar.timegm(instant.utctimetuple())
