"""The 31 category codes of Citizen Lab's test lists, and what each one holds."""

from collections.abc import Mapping
from types import MappingProxyType

# Codes: citizenlab/test-lists, new category scheme of 2017; the descriptions are our own words.
CATEGORIES: Mapping[str, str] = MappingProxyType(
    {
        "ALDR": "Alcohol and drugs",
        "ANON": "Anonymisation and circumvention tools",
        "COMM": "Commerce: shops and services",
        "COMT": "Communication tools: chat, mail, telephony",
        "CTRL": "Control content: harmless, must be reachable",
        "CULTR": "Culture: history, literature, music, film, encyclopaedias",
        "DATE": "Online dating",
        "ECON": "Economics: development, poverty, finance",
        "ENV": "Environment",
        "FILE": "File sharing",
        "GAME": "Gaming",
        "GMB": "Gambling",
        "GOVT": "Governments, their offices and armed forces",
        "GRP": "Social networking",
        "HACK": "Hacking tools and computer security",
        "HATE": "Hate speech",
        "HOST": "Hosting and blogging platforms",
        "HUMR": "Human rights, minorities, freedom of expression",
        "IGO": "Intergovernmental organisations",
        "LGBT": "Gay, lesbian, bisexual, transgender and queer life",
        "MILX": "Terrorism, militants and separatists",
        "MISC": "Everything else",
        "MMED": "Media sharing: video, audio, photos",
        "NEWS": "News media",
        "POLR": "Political criticism",
        "PORN": "Pornography",
        "PROV": "Provocative attire",
        "PUBH": "Public health",
        "REL": "Religion",
        "SRCH": "Search engines and portals",
        "XED": "Sex education and family planning",
    }
)
