"""The identity of a document, the same whichever file it is read from."""

import hashlib


def document_id(record_id: str, url: str, content: bytes | memoryview) -> str:
    """32 hex digits: blake2b of the WARC-Record-ID, or where there is none, of the URL and a digest of the content."""
    if record_id:
        key = record_id.encode("utf-8", "surrogatepass")
    else:
        digest = hashlib.blake2b(content, digest_size=16).digest()
        key = url.encode("utf-8", "surrogatepass") + b"\x1f" + digest
    return hashlib.blake2b(key, digest_size=16).hexdigest()
