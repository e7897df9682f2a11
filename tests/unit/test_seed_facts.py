"""Every statement behind the starting article's 29 answers, looked up in the English answer one by one.

`FACTS` names the answer, what it must carry, and how that is recognised: each pattern must be found within one
sentence. A pattern pins figures, negations and key words, not a phrasing: ` & ` joins parts that may stand in any
order, ` … ` stands for any words between. No "not", "no" or "never" may stand between the parts, within ` … `, or
right before a part. So a statement that is taken out, turned round, or given another figure is noticed, while an
answer may be reworded.

A question says nothing, so the question of an answer is not searched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import accumulate, product
from typing import NamedTuple

import pytest

from needlepoint.faq.files import EntryInFile, Timing, read_folder
from needlepoint.settings import ROOT
from tests.unit.test_shipped_answers import SEED

ENTRIES: dict[str, EntryInFile] = {
    fact: item.entry for item in read_folder(ROOT / "data" / "faq") for fact in item.entry.covers
}

#: What patients are told: answer, statement, patterns.
FACTS: dict[str, dict[str, list[str]]] = {
    # about
    "what-is-microneedling": {
        "many fine needles make tiny, controlled holes in the skin": [
            r"device & many fine needles & skin",
            r"needles & tiny|very small & controlled & holes|punctures|pricks",
        ],
        "repair lays down new collagen and elastin, for smoother and firmer skin": [
            r"repairs?|repairing|heals|healing & new collagen & elastin",
            r"can|may|might & smoother & firmer",
        ],
        "minimally invasive: nothing is cut, the surface stays": [
            r"minimally invasive",
            r"nothing is cut|no cutting|without cutting",
            r"surface & (not|never) (removed|taken off|taken away)|no removal|stays",
        ],
        "four other names": [
            rf"called|known as|names? & {name}"
            for name in (
                "skin needling",
                "collagen induction therapy",
                "derma ?rolling",
                "skin pen treatment",
            )
        ],
    },
    "device-types": {
        "three shapes: roller, stamp and motorised pen": [
            r"three … (shapes|kinds|types|forms) & roller & stamp & (motor-driven|motorised|electric) … pen"
        ],
        "depth and speed can be set on many motorised pens": [
            r"many … pens & set|adjust|choose & depth|deep & speed|fast",
            r"pens & practitioner|clinician|person who treats you|person treating you & set|adjust|choose",
        ],
        "some add radiofrequency heat; sometimes combined with laser or facials": [
            r"some & add|adds & heat & radiofrequency",
            r"sometimes & combined|together & laser & facials?",
        ],
    },
    "are-pores-open": {
        "not the pores: the needles leave tiny channels apart from them": [
            r"pores are open & not quite|more exactly|but|however|in fact & channels",
            r"needles & tiny channels & (separate|apart|different) from … pores|not (the|your) pores",
        ],
        "more passes through meanwhile: good for gentle care, risky with irritants and germs": [
            r"open & products & more easily|easier",
            r"useful|good|helpful|helps? & gentle",
            r"risky|a risk|bad & irritating|irritants? & germs",
        ],
        "open for at least 24 hours, fragile for about 72": [
            r"skin & open & at least 24 hours|24 hours (or more|at least|at the least)",
            r"fragile & (about|around) 72 hours",
        ],
    },
    # benefits
    "benefits-overview": {
        "used for scars, fine lines, large pores, stretch marks, uneven tone and texture": [
            rf"used (for|to treat|on|against) & {use}"
            for use in (
                "acne scars",
                "other scars",
                "fine lines",
                "(enlarged|large) pores",
                "stretch marks",
                "uneven tone",
                "texture",
            )
        ],
        "the product article adds discolouration, ageing, redness and hyperpigmentation": [
            rf"product article & lists?|names?|adds?|mentions? & {promise}"
            for promise in ("discolouration", "ageing", "redness", "hyperpigmentation")
        ],
        "FDA: only facial acne scars, facial wrinkles and abdominal scars; the rest is weaker": [
            r"FDA & authoris(ed|es|ation) & only & acne scars (and wrinkles )?on the face|facial acne scars",
            r"FDA & authoris(ed|es|ation) & only & wrinkles on the face|facial wrinkles",
            r"FDA & authoris(ed|es|ation) & only & scars on the (belly|abdomen|tummy)|abdominal scars",
            r"other uses & weaker (evidence|proof)",
        ],
        "results vary and are not guaranteed": [
            r"results & vary|differ",
            r"results & not (be )?guaranteed|cannot be guaranteed|no guarantee",
        ],
        "thin evidence for redness, and days of redness from the treatment itself": [
            r"proof|evidence & plain needling & redness & thin|weak|little",
            r"(treatment|needling) itself & skin & red|redness & for (some |several |a few )?days",
        ],
    },
    "collagen-and-elastin": {
        "yes, where needles reach the living skin": [
            r"yes & (reach|reaches|get to|gets to) (the )?living skin",
            r"heals|healing|repairs?|repairing & new collagen & elastin",
        ],
        "deep enough for slight bleeding, says the American Academy of Dermatology": [
            r"American Academy of Dermatology & says?|advises|states",
            r"good results & must|needs?|have to & deep enough"
            r" & bleed (slightly|a little)|slight bleeding|a little bleeding",
        ],
        "very short home needles stay at the surface and do less for collagen": [
            r"very short & home & needles & surface",
            r"expect|do|does|build|builds & less … collagen",
        ],
    },
    "acne-scars-benefit": {
        "best-studied use: 58 studies, 1,845 people, better scars, no serious events": [
            r"best[- ]studied|studied best|most studied",
            r"review & 58 studies & 1,845 (people|patients)",
            r"scars (improved|got better|were better)",
            r"no serious (events|harm|side effects)",
        ],
        "chance-chosen side of the face: lower scar scores at 6 months after three sessions": [
            r"(one|a) (side|half) of … faces?|split-face & by chance|at random|randomised",
            r"side|half & lower scar scores",
            r"6 months & three sessions & lower",
        ],
        "rolling and wide, shallow boxcar scars do better than narrow ice-pick ones": [
            r"rolling … boxcar … better than … ice-pick|boxcar … rolling … better than … ice-pick"
            r"|ice-pick … (worse|less well) than … rolling … boxcar",
            r"boxcar & wide & shallow",
            r"narrow ice-pick|ice-pick \(narrow\)",
        ],
        "several sessions, and scars soften rather than vanish": [
            r"needs?|needed|takes? & several (sessions|treatments)",
            r"scars & softer|soften & (rather than|instead of|not|never) (vanish|disappear|go away)(ing)?",
        ],
    },
    "wrinkles-benefit": {
        "48 people, four monthly sessions, measured at about 90 and 150 days": [
            r"(one|a|a single) study & 48 (people|patients)",
            r"four (monthly )?(sessions|treatments) & monthly|(a|one) month apart|(every|once a) month",
            *(
                rf"{gain} & better|improved & (about|around) 90 and (about )?150 days"
                for gain in ("wrinkles", "loose skin|laxity|firmness", "texture")
            ),
        ],
        "the look of facial wrinkles is an FDA-authorised use of some devices": [
            r"FDA & authoris(ed|es) & some devices",
            r"FDA & looks?|appearance & wrinkles on the face|facial wrinkles",
        ],
        "no comparison group, so the size of the effect is uncertain": [
            r"study & (no|without a) (comparison group|control group|group to compare (with|to))",
            r"size of the effect|how (large|big|strong) the effect is"
            r" & (cannot be|not|less) (sure|certain)|uncertain|unsure|unclear|with (care|caution)",
        ],
    },
    "texture-and-pores": {
        "smoother texture and smaller-looking pores, say dermatologists of clinic treatment": [
            r"dermatologists & clinic & smoother (skin )?texture",
            r"dermatologists & clinic & smaller-looking pores|pores … smaller",
        ],
        "rollers under 0.5 mm: reported to improve pores and fine lines a little": [
            r"home rollers?",
            r"(under|below|less than|shorter than) 0\.5 mm & reports?|reported & pores & fine lines",
            r"0\.5 mm & better|improves?|improved & a little|slightly|a bit",
        ],
        "a roller may brighten for a short time, from more blood flow": [
            r"roller & may|can|might & brighten(ing|s)?|brighter|glow & short time|short-lived|briefly|a while",
            r"(more|extra) blood",
        ],
    },
    "dark-spots-benefit": {
        "uneven tone and discolouration are common reasons; some marks fade": [
            r"uneven tone & discolouration & common reasons?",
            r"some (dark )?(marks|spots|patches) (do |can |may )?(fade|lighten|get lighter)",
        ],
        "better evidence is mostly for needling with lightening creams": [
            r"better evidence & most|mostly|mainly & needling … (with|and|plus) … lightening creams?"
        ],
        "the injury can leave new dark marks, mostly in darker skin or after sun": [
            r"injury|needling & can|may & leave|cause|make & new dark marks",
            r"dark marks & mostly|mainly|above all|especially & darker skin",
            r"dark marks & after (the )?sun|sun exposure|sunlight",
        ],
    },
    "absorption-benefit": {
        "channels let products through, hence a calming serum": [
            r"channels & products & outer (barrier|layer) & more easily|easier",
            r"so|why|therefore|hence & calming serum & often",
        ],
        "US device rules leave out pushing cosmetics or medicines into the skin": [
            r"US … rules & excludes?|leaves? … out|rules? out|(do|does) not cover"
            r" & cosmetics & medicines|drugs & into the skin"
        ],
        "only products meant for needled skin; others have caused lasting lumps": [
            r"only & products & (meant|made|intended) for needled skin",
            r"(other|wrong) serums? & caused & lumps & long time|long-lasting|lasting",
        ],
    },
    # preparation
    "retinoids-before": {
        "pause retinol, tretinoin and adapalene a few days before; prescribed: ask first": [
            *(
                rf"pause|stop|break from|leave … (out|off|alone) & {cream} & (3 to 7|a few) days (before|ahead)"
                for cream in ("retinol", "tretinoin", "adapalene", "similar creams|creams like (them|these)")
            ),
            r"prescribed|prescription",
            r"ask & prescriber & clinic & first|before",
        ],
        "advice from 24 hours to 10 days, mostly 3 to 7 days": [
            r"24 hours (up )?to 10 days",
            r"3 to 7 days & usual|usually|most common|most often|mostly",
        ],
        "used more recently by mistake: say so, the session may move": [
            r"used & recently & mistake",
            r"tell|call|phone|contact & (session|appointment) (may|might|can) (have to )?(be )?(move|moved|postponed)",
        ],
    },
    "exfoliants-before": {
        "no harsh exfoliating beforehand: it leaves the skin irritated": [
            r"harsh & skin & irritated|irritates?|irritation & before|beforehand|already"
        ],
        "acids, scrubs and exfoliating masks stop about 3 to 7 days before": [
            r"glycolic & lactic & salicylic",
            *(
                rf"stop|pause|avoid|leave … (out|off|alone) & {ware} & (about|around) 3 to 7 days (before|ahead)"
                for ware in ("acids?", "scrubs", "exfoliating masks")
            ),
        ],
    },
    "arrive-with-clean-skin": {
        "clean, dry and bare: no makeup, cream, sunscreen, oil or perfume": [
            r"come|arrive & clean & dry & bare",
            *(
                rf"(leave … off|no|without|free of) … {ware}"
                for ware in ("makeup", "creams?", "sunscreen", "oils?", "perfume")
            ),
        ],
        "a gentle wash at home that morning is fine": [
            r"can|may|fine & wash|washing & gentle|gently & mild cleanser",
            r"wash|washing & morning & home",
        ],
    },
    # pain
    "pain-tolerance-differs": {
        "differs from person to person; some feel nothing": [
            r"people|person|everyone & pain & differs|differently|varies",
            r"some … feel (no (discomfort|pain)|nothing)",
        ],
        "area, depth, numbing time and nerves change it": [
            rf"depends?|changes?|matters? & {cause}"
            for cause in (
                "area",
                "depth|how deep",
                "numbing time|how long … numb(ing)?|time … numb(ing)?",
                "(nerves|nervous|tense|anxious) … day",
            )
        ],
        "say how you feel: slow down, pause or stop": [
            r"(say|tell) … how (you feel|it feels)",
            r"can|may|ask & (slow down|slower) & pause|break & stop",
        ],
    },
    "numbing-cream-timing": {
        "goes on first, to make needles easier to bear": [
            r"(goes|put|applied) (it )?on … (first|before)|before (the |your )?(needles|needling|treatment)",
            r"needles & easier to bear|feel … less|hurt less",
        ],
        "30 to 60 minutes: 30 to 45 in one hospital, about 60 in an NHS hospital and trials": [
            r"30 to 60 minutes",
            r"one hospital( \w+){0,3} 30 to 45|30 to 45( \w+){0,3} one hospital",
            r"NHS hospital( \w+){0,5} (about|around) 60|(about|around) 60( \w+){0,3} NHS hospital",
            r"trials & (about|around) 60",
        ],
        "a few minutes is too short for most creams, so expect the wait": [
            r"a few minutes",
            r"most creams & too short",
            r"expect … wait",
        ],
    },
    "home-roller-pain": {
        "very little: prickly, mild and brief redness": [
            r"very little|hardly any|not much",
            r"short & needles & prickly|prickle",
            r"redness & mild & brief|soon over|soon gone|short-lived",
        ],
        "about 1 out of 10, against 0.3 without needles": [
            r"small study & pain",
            r"needle roller & (about|around) 1 out of 10",
            r"(no|without) needles & 0\.3",
        ],
        "pressing harder does not help and can scratch": [
            r"(do not press|never press|pressing) hard(er)? & does not help|no (help|use) & can|may & scratch",
            r"scratch (the|your) skin",
        ],
    },
    # side effects
    "what-is-normal-after": {
        "sunburn-like redness, warmth, tightness, mild swelling, small bruises, pinpoint bleeding": [
            rf"common|normal|expected|usual|so are|so is & {effect}"
            for effect in (
                "(red|redness) like (a )?sunburn",
                "warm|warmth",
                "tight|tightness",
                "(mild|slight|light|a little|a bit) (swelling|swollen)|(mildly|slightly) swollen",
                "small bruises",
                "pinpoint bleeding",
            )
        ],
        "dryness and light peeling follow; redness goes within a few days": [
            r"then|follow|follows|later|next & dry|dryness & light peeling|peel (a little|lightly|a bit)",
            r"redness & normally|usually|as a rule|mostly & gone|goes|fades|settles & within a few days",
        ],
        "reviews of more than 1,000 people found mainly these": [
            r"reviews & (more than|over) 1,000 people",
            r"1,000 people & mainly|mostly & (short|short-lived|brief|passing) effects",
        ],
        "tightness, warmth and stinging: a few hours, up to 2 days": [
            rf"{feeling} & (within|for|last|lasts) (a few |some )?hours & up to 2 days"
            for feeling in ("tightness", "warmth", "stinging")
        ],
    },
    "redness-after-home-roller": {
        "yes: light pink for minutes to a few hours": [r"light pink & minutes to a few hours & expected|normal|common"],
        "into the next day, or hot and sore: stop and contact the clinic": [
            r"red|redness|lasts & next day|day after & hot & sore",
            r"stop (using (it|the roller)|rolling) & (contact|call|phone) the clinic",
        ],
    },
    "bleeding-after": {
        "tiny dots of blood are expected and settle on their own": [
            r"tiny (dots|spots) of blood & expected|normal & during & just after|afterwards",
            r"(dots|spots) of blood & settle|stop & (on|by) (their own|themselves)",
        ],
        "the article says a few days; fresh bleeding stops within minutes to hours": [
            r"product article & minor bleeding & redness & a few days",
            r"fresh bleeding & sooner & within minutes to hours",
        ],
        "not normal: still bleeding after 10 minutes of firm pressure": [
            r"bleeding & after 10 minutes of firm pressure & not (normal|expected)"
        ],
        "dots mean living skin was reached; a 0.2 mm home roller should not draw blood": [
            r"needles & (reached|reach|got to|got as far as) (the )?living skin & clinic & aim|aims|goal",
            r"0\.2 mm & roller & (should|must) not (make you bleed|bleed|draw blood|cause bleeding)",
        ],
    },
    "itch-after": {
        "mild itching is common as skin heals and dries": [
            r"mild|slight|a little|a bit & itch|itches|itching & common|often|normal|usual",
            r"itch|itches|itching & where the needles went in",
            r"itch|itches|itching & heals|healing & dries|drying",
        ],
        "soothing, fragrance-free moisturiser and a cool compress": [
            r"moisturiser & without fragrance|fragrance-free|no fragrance & soothes?|soothing",
            r"cool compress & helps?|soothes?|so does|use|try",
        ],
        "do not scratch: it causes marks": [
            r"(do not|never) scratch|avoid scratching|no scratching",
            r"scratching & causes?|leaves?|makes? & marks",
        ],
        "strong itch with hives or a rash: maybe an allergy, clinic the same day": [
            r"strong itch & hives & rash & (not expected and )?(may|might|could) … allergy",
            r"call|contact|phone & clinic|\{clinic_phone\} & same day",
        ],
    },
    # aftercare
    "makeup-after": {
        "at least 24 hours, and longer is better": [
            r"wait … (at least 24 hours|24 hours (or more|at least))"
            r"|(not|no makeup) (for|in|during) the first 24 hours",
            r"longer is better",
        ],
        "still red, stinging, peeling or open: wait until it calms": [
            r"still red & stinging & peeling & open",
            r"wait|hold off|leave … off & until|till & calm|calms|settles",
        ],
        "first with clean brushes and a fresh, light mineral product": [
            r"start|begin|first & clean brushes",
            r"fresh & light & mineral",
        ],
    },
    "makeup-after-home-roller": {
        "none that day; roll in the evening so the skin rests overnight": [
            r"(not|none|no makeup) (on )?(that|the same) day|leave … off … (that|the same) day",
            r"roll|rolling & evening & rests? & overnight",
        ],
        "next morning is fine if the skin is calm": [r"next morning & fine|all right & calm"],
    },
    "skincare-focus": {
        "short routine: gentle wash, plain moisturiser, sunscreen; the rest can wait": [
            r"short|simple|just|only & gentle wash|gentle cleanser & plain moisturiser & sunscreen",
            r"everything else & wait",
        ],
        "more goes in, so gentle products help and strong ones irritate": [
            r"channels & products & more easily|easier",
            r"gentle … help … strong … irritate|strong … irritate … gentle … help",
        ],
        "no makeup for now, only this basic care": [
            r"leave makeup off|leave off makeup|no makeup & for now",
            r"focus|keep|stick & basic care",
        ],
    },
    # home use
    "home-kit-what-is-it": {
        "The Face Inc Micro-Needle Therapy: roller of 540 titanium needles of 0.2 mm on a bottle of serum": [
            r"kit & product article & (one|a) small roller",
            r"roller & fixed|attached|joined & bottle & serum",
            r"The Face Inc Micro-Needle Therapy",
            r"derma roller & 540 & titanium & needles & 0\.2 mm",
            r"serum & clear & thick",
        ],
        "the serum is meant to soak in through the channels while rolling": [
            r"(meant|designed|supposed) to (soak|sink) in & channels & (as|while|when) you roll"
        ],
        "contents and stock are the clinic's settings; the kit can change: check the pack": [
            r"\{kit_contents\}",
            r"(can|may) change",
            r"check the (pack|box) & before",
            r"stock & \{kit_stock\}",
        ],
    },
    "home-roller-does-it-work": {
        "helps products soak in, a little smoothness and glow": [
            r"can|may|helps? & products & soak in",
            r"can|may|gives? & a little|slight|slightly|a bit & smoothness|smoother",
            r"can|may|gives? & glow",
        ],
        "not what a clinic does: shorter, duller needles and weaker results, say dermatologists": [
            r"cannot do what … clinic",
            r"dermatologists",
            r"say|find & home & needles & shorter & duller|blunter",
            r"say|find & results & weaker",
        ],
        "not for deep acne scars or deep wrinkles": [
            r"(not|never|cannot) … deep acne scars",
            r"(not|never|cannot) … deep wrinkles",
        ],
    },
    "home-roller-how-to-use": {
        "clean roller, washed hands and face, dry skin": [
            r"clean (the|your) roller",
            r"wash & hands",
            r"wash & face & mild cleanser",
            r"dry (your |the )?skin",
        ],
        "lightly, a few times up and down, side to side and diagonally, about 2 minutes": [
            r"roll & lightly",
            r"(about|around) 2 minutes (in all|in total|altogether)",
            r"roll & a few times & each (way|direction)",
            r"up and down & across|side to side|sideways & diagonally",
        ],
        "lift between strokes, no twisting, never press hard": [
            r"lift & roller & between strokes",
            r"(not|never|without|instead of) twist(ing)?|no twisting",
            r"(not|never) press hard|without pressing hard",
        ],
        "then kit serum or plain soothing cream; sunscreen next morning": [
            r"then|afterwards|next & kit serum|kit's serum|serum (of|from) the kit & plain & soothing cream",
            r"sunscreen & next morning",
        ],
    },
    "home-roller-which-products": {
        "only the kit's serum or a plain hyaluronic gel": [
            r"only & serum & kit & plain hyaluronic gel",
        ],
        "no retinol, acids, scrubs, vitamin C, fragrance or alcohol, nor a day before and after": [
            *(
                rf"(freshly|just) rolled & (no|without|leave … (off|out)|avoid) … {ware}"
                for ware in ("retinol", "acids", "scrubs", "vitamin C", "fragrance", "alcohol")
            ),
            r"leave … out|leave … off|avoid|none & (a|one) day before and (for )?((a|one) day )?after",
        ],
    },
    # cost and booking
    "price-of-the-home-kit": {
        "the clinic's own price, which can change; one roller, 540 needles of 0.2 mm": [
            r"price & \{price_home_kit\}",
            r"prices? & (can|may) change",
            r"one roller",
            r"roller & 540 & needles & 0\.2 mm",
        ],
        "ask before buying with a skin condition or isotretinoin": [
            r"skin condition",
            r"isotretinoin",
            r"ask us … before … (buy|buying)|before … (buy|buying) … ask us",
        ],
    },
    # comparison
    "clinic-versus-home-roller": {
        "no: the clinic reaches deep enough for collagen, the home roller stays at the surface": [
            r"no[:,.]|not the same|different",
            r"clinic & deep enough … collagen",
            r"home roller & works|stays|reaches & surface",
        ],
        "home: cheap, gentle, repeated, infection risk; clinic: dearer, with time to recover": [
            r"home( roller)? & cheap & gentle",
            r"needs?|have to|must & repeat|repeating|repeated",
            r"carries|has|brings & risk of infection|infection risk",
            r"clinic & costs more|dearer",
            r"clinic & time to (recover|heal)|downtime",
        ],
        "can be combined, with a gap, under the clinic's plan": [
            r"(can|may) be combined|(can|may) combine & clinic & plan & gap"
        ],
    },
}

#: What only staff are told, in the notes: answers name no price but the clinic's own.
FOR_STAFF: dict[str, dict[str, list[str]]] = {
    "price-of-the-home-kit": {"the article's price was RM 228": [r"RM ?228"]},
}


class Window(NamedTuple):
    """A window of hours that an answer must carry."""

    entry: str
    phase: str
    activity: str
    rule: str
    from_hours: float
    to_hours: float
    cautious_to_hours: float

    def __str__(self) -> str:
        hours = f"{self.from_hours:g} to {self.to_hours:g} hours {self.phase}, cautiously {self.cautious_to_hours:g}"
        return f"{self.entry}: {self.rule} {self.activity}, {hours}"


WINDOWS = [
    Window("are-pores-open", "after", "skin_channels_open", "expect", 0, 24, 72),
    Window("retinoids-before", "before", "retinoids", "avoid", 0, 72, 168),
    Window("exfoliants-before", "before", "exfoliants", "avoid", 0, 72, 168),
    Window("arrive-with-clean-skin", "before", "makeup_and_creams", "avoid", 0, 12, 24),
    Window("numbing-cream-timing", "before", "numbing_cream", "do", 0, 0.5, 1),
    Window("redness-after-home-roller", "after", "redness", "expect", 0, 6, 24),
    Window("bleeding-after", "after", "minor_bleeding", "expect", 0, 6, 24),
    Window("itch-after", "after", "itching", "expect", 0, 72, 168),
    Window("makeup-after", "after", "makeup", "avoid", 0, 24, 72),
    Window("makeup-after-home-roller", "after", "makeup", "avoid", 0, 12, 24),
    Window("skincare-focus", "after", "simple_routine", "do", 0, 120, 168),
    Window("home-roller-which-products", "after", "retinoids", "avoid", 0, 24, 72),
]

_NEGATIONS = ("not", "no", "never", "nobody", "nothing", "none", "nor", "cannot", "without", "hardly", "rarely")
_NEGATION = re.compile(rf"\b(?:{'|'.join(_NEGATIONS)})\b|n't\b", re.IGNORECASE)
_ANY_WORDS = rf"(?!\w)(?:(?!{_NEGATION.pattern}).)*?(?<![\w.])"
_NOT_NEGATED = "".join(rf"(?<!\b{word} )" for word in _NEGATIONS) + "(?<!n't )"


def sentences(text: str) -> list[str]:
    """The sentences of an answer, each on one line; a list without full stops belongs to the line that opens it."""
    plain = text.replace("**", "").replace("’", "'")
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", plain)
    plain = re.sub(r":\s*\n\s*-?", ": ", plain)
    parts = re.split(r"(?<=[.!?])\s+|\n\s*\n", plain)
    return [" ".join(part.split()) for part in parts]


def part_of(pattern: str) -> re.Pattern[str]:
    """One part of a pattern, as whole words and not negated."""
    words = pattern.replace(" … ", _ANY_WORDS)
    return re.compile(rf"(?<![\w.]){_NOT_NEGATED}(?:{words})(?!\w|[.,]\d)", re.IGNORECASE)


def negated_between(sentence: str, found: Iterable[re.Match[str]]) -> bool:
    """Does a negation stand between the parts found?"""
    spans = sorted(match.span() for match in found)
    ends = accumulate((end for _, end in spans), max)
    return any(_NEGATION.search(sentence[end:start]) for end, (start, _) in zip(ends, spans[1:], strict=False))


def carries(text: str, pattern: str) -> bool:
    """Does a sentence of `text` hold all parts of the pattern, none of them negated?"""
    parts = [part_of(part) for part in pattern.split(" & ")]
    return any(
        not negated_between(sentence, found)
        for sentence in sentences(text)
        for found in product(*(part.finditer(sentence) for part in parts))
    )


def told_to_patients(entry: EntryInFile) -> str:
    text = entry.version.texts["en"]
    return f"{text.answer}\n\n{text.when_to_contact or ''}"


def cases(table: dict[str, dict[str, list[str]]]) -> list[object]:
    return [
        pytest.param(entry, patterns, id=f"{entry}: {statement}")
        for entry, statements in table.items()
        for statement, patterns in statements.items()
    ]


def test_every_answer_to_the_starting_article_is_looked_through() -> None:
    assert set(FACTS) == set(SEED)


@pytest.mark.parametrize(("entry", "patterns"), cases(FACTS))
def test_an_answer_tells_patients(entry: str, patterns: list[str]) -> None:
    text = told_to_patients(ENTRIES[entry])
    missing = [pattern for pattern in patterns if not carries(text, pattern)]
    assert not missing, f"{entry} does not say {missing}; it says:\n{text}"


@pytest.mark.parametrize(("entry", "patterns"), cases(FOR_STAFF))
def test_the_notes_of_an_answer_tell_staff(entry: str, patterns: list[str]) -> None:
    notes = ENTRIES[entry].version.notes or ""
    missing = [pattern for pattern in patterns if not carries(notes, pattern)]
    assert not missing, f"the notes of {entry} do not say {missing}; they say:\n{notes}"


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_an_answer_has_the_hours(window: Window) -> None:
    def is_meant(timing: Timing) -> bool:
        return (timing.phase, timing.activity, timing.rule) == (window.phase, window.activity, window.rule)

    hours = [
        (timing.from_hours, timing.to_hours, timing.cautious_to_hours)
        for timing in ENTRIES[window.entry].version.timing
        if is_meant(timing)
    ]
    assert hours == [(window.from_hours, window.to_hours, window.cautious_to_hours)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Wait at least 24 hours.", True),
        ("Please wait, for a clean start, at\nleast **24 hours**.", True),
        ("Wait at least 48 hours.", False),
        ("Wait at least 24.5 hours.", False),
        ("Wait at least 124 hours.", False),
        ("Do not wait at least 24 hours.", False),
        ("Wait, but not at least 24 hours.", False),
        ("Wait. You need at least 24 hours.", False),
    ],
)
def test_a_pattern_is_found_only_in_one_sentence_that_affirms_it(text: str, found: bool) -> None:
    assert carries(text, r"wait … at least 24 hours") is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Wait at least 24 hours before makeup.", True),
        ("Leave makeup until later: wait at least 24 hours.", True),
        ("Makeup? Wait at least 24 hours.", False),
        ("For makeup, do not wait at least 24 hours.", False),
        ("Wait, though for makeup it need not be at least 24 hours.", False),
        ("Wait at least 24 hours, but not before makeup.", False),
        ("For makeup, wait at least 48 hours.", False),
    ],
)
def test_the_parts_of_a_pattern_stand_in_any_order_in_one_sentence_that_affirms_them(text: str, found: bool) -> None:
    assert carries(text, r"wait & at least 24 hours & makeup|powder") is found
