"""Codes of languages: ISO 639-1 (two letters), ISO 639-2 (three letters), tags of RFC 5646."""

_PAIRS = """
aa:aar ab:abk ae:ave af:afr ak:aka am:amh an:arg ar:ara as:asm av:ava ay:aym az:aze
ba:bak be:bel bg:bul bi:bis bm:bam bn:ben bo:bod br:bre bs:bos ca:cat ce:che ch:cha
co:cos cr:cre cs:ces cu:chu cv:chv cy:cym da:dan de:deu dv:div dz:dzo ee:ewe el:ell
en:eng eo:epo es:spa et:est eu:eus fa:fas ff:ful fi:fin fj:fij fo:fao fr:fra fy:fry
ga:gle gd:gla gl:glg gn:grn gu:guj gv:glv ha:hau he:heb hi:hin ho:hmo hr:hrv ht:hat
hu:hun hy:hye hz:her ia:ina id:ind ie:ile ig:ibo ii:iii ik:ipk io:ido is:isl it:ita
iu:iku ja:jpn jv:jav ka:kat kg:kon ki:kik kj:kua kk:kaz kl:kal km:khm kn:kan ko:kor
kr:kau ks:kas ku:kur kv:kom kw:cor ky:kir la:lat lb:ltz lg:lug li:lim ln:lin lo:lao
lt:lit lu:lub lv:lav mg:mlg mh:mah mi:mri mk:mkd ml:mal mn:mon mr:mar ms:msa mt:mlt
my:mya na:nau nb:nob nd:nde ne:nep ng:ndo nl:nld nn:nno no:nor nr:nbl nv:nav ny:nya
oc:oci oj:oji om:orm or:ori os:oss pa:pan pi:pli pl:pol ps:pus pt:por qu:que rm:roh
rn:run ro:ron ru:rus rw:kin sa:san sc:srd sd:snd se:sme sg:sag si:sin sk:slk sl:slv
sm:smo sn:sna so:som sq:sqi sr:srp ss:ssw st:sot su:sun sv:swe sw:swa ta:tam te:tel
tg:tgk th:tha ti:tir tk:tuk tl:tgl tn:tsn to:ton tr:tur ts:tso tt:tat tw:twi ty:tah
ug:uig uk:ukr ur:urd uz:uzb ve:ven vi:vie vo:vol wa:wln wo:wol xh:xho yi:yid yo:yor
za:zha zh:zho zu:zul
"""
TWO_LETTERS = dict(pair.split(":") for pair in _PAIRS.split())
"""From ISO 639-1 to terminological codes of ISO 639-2."""
BIBLIOGRAPHIC = {
    "ces": "cze", "cym": "wel", "deu": "ger", "ell": "gre", "eus": "baq", "fas": "per",
    "hye": "arm", "isl": "ice",
    "kat": "geo", "mkd": "mac", "msa": "may", "mya": "bur", "nld": "dut", "ron": "rum",
    "slk": "slo", "sqi": "alb", "zho": "chi",
}  # fmt: skip
"""From terminological to bibliographic codes of ISO 639-2; QuickTime files use the latter."""
TERMINOLOGICAL = {code: usual for usual, code in BIBLIOGRAPHIC.items()}
UNKNOWN = "und"


def three_letters(language: str) -> str:
    """Return the code of ISO 639-2 for a language, without script and region: `por` for `pt-BR`.
    What is no language is returned as it is."""
    primary = language.replace("_", "-").split("-")[0].lower()
    if len(primary) not in (2, 3):
        return language
    return TWO_LETTERS.get(primary, primary)


def same_language(first: str | None, second: str | None) -> bool:
    """Return whether two codes or tags state the same language, script and region; None states no
    language."""
    return _normalise(first) == _normalise(second)


def _normalise(language: str | None) -> str:
    tag = (language or UNKNOWN).replace("_", "-").lower()
    primary, _, rest = tag.partition("-")
    code = three_letters(primary)
    return f"{TERMINOLOGICAL.get(code, code)}-{rest}"
