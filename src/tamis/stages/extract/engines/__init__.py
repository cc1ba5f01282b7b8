"""The extractors behind one interface: HTML text in, document text out.

Resiliparse is DCLM's choice and is always installed; trafilatura and jusText are optional libraries; `plain` gives what
Common Crawl's WET files contain; `tamis` is our own. A function of the user's can be used in their place.
"""

from tamis.stages.extract.engines.choose import (
    ENGINES,
    ExtractionEngine,
    OwnEngine,
    check_engine,
    engine_for,
    engine_versions,
    find_engine,
)

__all__ = ["ENGINES", "ExtractionEngine", "OwnEngine", "check_engine", "engine_for", "engine_versions", "find_engine"]
