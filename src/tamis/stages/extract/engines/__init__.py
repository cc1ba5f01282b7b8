"""The extractors behind one interface: HTML text in, document text out.

Resiliparse is DCLM's choice and always there; trafilatura and jusText are optional libraries; `plain` is what Common
Crawl's WET files hold; `tamis` is ours. A function of the user's own can stand for one.
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
