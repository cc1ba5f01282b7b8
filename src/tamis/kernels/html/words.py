"""Names that the HTML scanner knows: element names with what they mean for text, and words of class and id attributes.

Both are looked up by FNV-1a hash in open-addressing tables, since kernels have no strings.
"""

import numpy as np

# What an element does to the text around it.
INLINE, BLOCK, VOID, SKIPPED, RAW_SKIPPED, LINK, BOLD, BREAK, PRE = range(9)

# Elements that end a run of text where they start and where they end.
_BLOCKS = (
    "body", "div", "p", "li", "td", "th", "tr", "ul", "ol", "dl", "dt", "dd", "table", "tbody", "thead", "tfoot", "h1",
    "h2", "h3", "h4", "h5", "h6", "section", "article", "main", "nav", "aside", "header", "footer", "form", "fieldset",
    "legend", "figure", "figcaption", "blockquote", "address", "center", "details", "summary", "dialog", "hgroup",
    "caption", "menu", "dir", "html", "frameset", "hr", "search",
)  # fmt: skip
# Every kind with its elements; an element that is not listed is inline.
_KINDS = {
    BLOCK: _BLOCKS,
    PRE: ("pre", "listing", "xmp", "plaintext"),
    VOID: ("area", "base", "col", "embed", "img", "input", "link", "meta", "source", "track", "wbr", "param", "frame",
           "keygen", "bgsound", "basefont"),
    BREAK: ("br",),
    LINK: ("a",),
    BOLD: ("b", "strong"),
    RAW_SKIPPED: ("script", "style", "iframe", "noembed", "noframes"),
    SKIPPED: ("head", "noscript", "template", "svg", "object", "canvas", "video", "audio", "map", "select", "datalist",
              "button", "textarea", "rp", "title", "option", "optgroup"),
}  # fmt: skip
TAG_NAMES = ("", *(name for names in _KINDS.values() for name in names))
"""Name by tag id; id 0 is every other element, which is inline."""
TAG = {name: i for i, name in enumerate(TAG_NAMES) if name}
# The kind of each tag id, and tags that have no content or hold raw text.
TAG_KINDS = np.array([INLINE] + [kind for kind, names in _KINDS.items() for _ in names], np.int8)
VOID_TAGS = frozenset((*_KINDS[VOID], "br", "hr"))
RAW_TEXT_TAGS = frozenset((*_KINDS[RAW_SKIPPED], "xmp", "plaintext"))

GROUPS: dict[str, str] = {
    "navigation": "nav navi navbar navigation menu menus submenu topnav subnav mainnav hauptnavigation dropdown tabs "
    "toolbar megamenu offcanvas mobilemenu menuitem",
    "breadcrumb": "breadcrumb breadcrumbs crumb crumbs trail bread",
    "sidebar": "sidebar side rail aside secondary complementary sidebars leftcol rightcol sidecolumn rightcolumn",
    "footer": "footer foot bottom colophon fuss contentinfo copyright imprint impressum footnav",
    "header": "header masthead top banner head topbar kopf headerbar",
    "comment": "comment comments commentlist respond reply replies disqus discussion kommentar kommentare commentform "
    "trackback pings kommentieren comentarios leserkommentare",
    "related": "related similar recommended recommendation recommendations more mehr teaser teasers latest popular "
    "trending readmore further outbrain taboola crosslinks zergnet yarpp jp weitere siehe most recent recirc",
    "share": "share sharing shares social facebook twitter pinterest whatsapp addthis shariff follow sharedaddy "
    "addtoany linkedin socials sharebar tweet",
    "advert": "ad ads advert advertisement adsense sponsor sponsored promo promotion banner werbung anzeige dfp "
    "outbrain affiliate commercial gpt adslot billboard",
    "widget": "widget widgets module plugin widgettitle textwidget",
    "meta": "meta byline author date time published timestamp posted dateline info entrymeta autor datum postmeta "
    "details byl credits publish authors",
    "tags": "tag tags category categories keywords taxonomy topics labels tagcloud tagged kategorien schlagworte cat",
    "pager": "pagination pager paging next prev previous older newer pagenav postnav nextprev",
    "login": "login signin signup register account user password profile anmelden subscribe subscription newsletter "
    "email mailchimp paywall abo optin mailing",
    "cookie": "cookie cookies consent gdpr privacy overlay modal popup lightbox notice dsgvo alert borlabs cmp",
    "search": "search suche searchform query filter",
    "caption": "caption captions credit figcaption copyright bildunterschrift legend wp",
    "media": "image img photo video gallery slider carousel slideshow thumbnail thumb thumbnails player media picture",
    "content": "content contents inhalt maincontent main primary center middle",
    "article": "article articlebody story storybody artikel articletext newsarticle articlecontent blogpost newstext",
    "post": "post entry single hentry posts blog entrycontent postcontent",
    "body": "body text bodytext richtext prose rte copy paragraph txt fliesstext textblock formatted wysiwyg "
    "mainentity",
    "title": "title headline heading titel titles subtitle kicker",
    "teaser": "excerpt summary lead intro description abstract standfirst vorspann dek deck lede",
    "list": "list items item listing lists card cards grid tile tiles feed archive",
    "box": "box infobox factbox callout aside highlight panel note",
    "shop": "price cart basket shop product products buy checkout warenkorb wishlist",
    "hidden": "hidden hide invisible screen sr offscreen visuallyhidden skip skiplink screenreader noprint print",
    "bio": "bio about biography authorbox vcard contact avatar kontakt autoreninfo",
    "references": "references footnote footnotes reflist citation toc notes",
}
"""Groups of words that authors name parts of pages with, in the languages of much of the web."""
# The number of a group is its place here and its bit in a bit set.
GROUP_NAMES = tuple(GROUPS)
HIDDEN_GROUP = GROUP_NAMES.index("hidden")

# Parameters of the 64-bit FNV-1a hash.
_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3


def fnv1a(name: str) -> int:
    """64-bit FNV-1a of the UTF-8 bytes."""
    # Python integers do not wrap around, so that the product is cut to 64 bits.
    value = _FNV_OFFSET
    for byte in name.encode():
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return value


def _table(entries: dict[str, int], slots: int) -> tuple[np.ndarray, np.ndarray]:
    """Open addressing with linear steps; `slots` is a power of two. Key 0 marks an empty slot."""
    # Twice as many slots as entries, at least, keep the steps few.
    keys, values = np.zeros(slots, np.uint64), np.zeros(slots, np.int64)
    for name, value in entries.items():
        # Step to the first free slot behind the one that the hash names.
        at = fnv1a(name) & (slots - 1)
        while keys[at]:
            at = (at + 1) & (slots - 1)
        keys[at], values[at] = fnv1a(name), value
    return keys, values


def _group_bits() -> dict[str, int]:
    """Word -> bits of its groups, one bit for each group in the order of GROUPS."""
    bits: dict[str, int] = {}
    for number, words in enumerate(GROUPS.values()):
        # A word can belong to several groups.
        for word in words.split():
            bits[word] = bits.get(word, 0) | (1 << number)
    return bits


# The scanner looks names and words up in tables that are made of these.
GROUP_BITS = _group_bits()
"""Word -> bit set of its groups."""
# Both tables are less than half full, so that a look-up takes few steps.
TAG_KEYS, TAG_VALUES = _table(TAG, 1024)
WORD_KEYS, WORD_VALUES = _table(GROUP_BITS, 2048)
