"""PromQL that the panels share: rates, quantiles and gauges over all processes."""

from panels import Query

TENANT = 'tenant_id=~"$tenant"'
PLUGIN = 'plugin_id=~"$plugin"'
BOTH = f"{TENANT}, {PLUGIN}"
OVER = "[$__rate_interval]"
PER_MINUTE = "cpm"


def per_minute(metric: str, by: str = "", where: str = "") -> str:
    """How much a counter grows in a minute, over all processes."""
    return f"sum{_by(by)} (rate({metric}{_where(where)}{OVER})) * 60"


def quantile(share: float, histogram: str, by: str = "", where: str = "") -> str:
    """A quantile of a histogram, over all processes."""
    labels = f"le, {by}" if by else "le"
    rates = f"sum by ({labels}) (rate({histogram}_bucket{_where(where)}{OVER}))"
    return f"histogram_quantile({share}, {rates})"


def quantiles(histogram: str, where: str = "") -> list[Query]:
    """Half, 95 and 99 of 100."""
    return [
        Query(quantile(share, histogram, where=where), name)
        for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    ]


def seen(gauge: str, by: str = "", where: str = "") -> str:
    """A gauge that every worker shows alike, because each asks Temporal."""
    return f"max{_by(by)} ({gauge}{_where(where)})"


def age(moment: str) -> str:
    """How long ago something happened last, in whatever process."""
    return f"time() - max({moment} > 0)"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


def _where(matchers: str) -> str:
    return f"{{{matchers}}}" if matchers else ""
