"""The extractors behind one interface: HTML text in, document text out.

Resiliparse is DCLM's choice and always there; trafilatura and jusText are optional libraries; `plain` is what Common
Crawl's WET files hold; `tamis` is ours. `engine_for` is all that the stage needs.
"""

from tamis.stages.extract.engines.choose import ENGINES, Engine, check_engine, engine_for, engine_versions

__all__ = ["ENGINES", "Engine", "check_engine", "engine_for", "engine_versions"]
