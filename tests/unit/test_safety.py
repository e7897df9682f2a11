"""What the red-flag rules say to sentences as people write them."""

import shutil
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from needlepoint.safety import LEVELS, Level, RuleFileError, SafetyRules, assess, clean_text

FOLDER = Path(__file__).parents[2] / "data" / "safety"
RULES = SafetyRules.load(FOLDER)

URGENT: dict[tuple[Level, str], list[str]] = {
    ("emergency_now", "severe-allergic-reaction"): [
        "I can't breathe properly since they put the numbing cream on",
        "having trouble breathing after the serum",
        "its getting hard to breathe",
        "i cant breath help",
        "my breathing is very fast and noisy",
        "shortness of breath and itchy, probably nothing lol",
        "I'm wheezing after the cream",
        "my chest feels tight",
        "My throat is closing up",
        "difficulty brething and dizzy",
        "my lips and tongue are swollen",
        "tongue swelling!!",
        "my lips are a bit swollen but my sister says it's normal",
        "my face is swelling up and my lips too",
        "my face is swelling up",
        "suddenly my whole face is swollen",
        "my face ballooned after numbing cream",
        "my tounge feels thick",
        "LIPS SWELING UP SO FAST",
        "My sister did microneedling and her throat is swelling",
        "sesak nafas lepas sapu krim kebas",
        "saya tak boleh bernafas",
        "xleh nafas tolong",
        "bibir saya bengkak",
        "lidah bengkak sikit je",
        "muka makin bengkak cepat sangat",
        "no fever my lips are swelling",
        "no allergies lips are swelling",
        "No, my tongue is swollen",
        "I CAN NOT BREATHE",
        "\uff43\uff41\uff4e'\uff54 \uff42\uff52\uff45\uff41\uff54\uff48\uff45",
        "i can't bre\u0430th\u0435",
        "cannnot breatheeee",
        "I had no problem last year but now my throat is swelling",
        "my lips are tingling and they are swelling",
        "I don't know if it's serious but I can't breathe well",
        "my throat feels like it's closing",
        "no rash or fever but tongue is swollen",
        "when can I wear makeup? also my tongue is swelling",
        "swollen face, can't breathe",
        "Is it ok that my lips are swollen?",
        "muka saya tiba-tiba bengkak",
        "tekak rasa sempit",
        "susah nak bernafas",
        "takde demam tapi bibir bengkak",
        "lips n tongue swolen",
        "i can barely breathe",
        "my friend next to me cant breathe after the cream",
        "never had this before, tongue swelling",
        "can u help me i cant breathe",
        "If you can please call me my throat is swelling",
        "what should I do, my face is swelling and I'm struggling to breathe",
        "hives all over and lips swelling",
        "Sorry to bother, it's probably silly but my tongue has swollen up a bit",
        "haha my lips look like sausages, so swollen",
        "my mum thinks im overreacting but i cant get enough air",
        "is it safe to continue with the retinol, my lips are swollen",
        "Do I need a doctor if my throat is closing up right now?",
        "not being able to breathe properly",
        "no I can't breathe",
        "i dont know whats happening face swelling up quickly",
        "throat itchy and tight after numbing cream",
        "I was fine yesterday but today my lips are swollen",
        "Three years ago I had no reaction but this time my face is swelling up and I can't breathe",
        "muka saya bengkak teruk, susah nafas",
        "tlg, x boleh nafas",
        "saya rasa sesak nafas sikit",
        "kawan saya sesak nafas lepas sapu krim",
        "Swollen tongue",
        "can't breathe",
        "cant breathe can you call someone",
        "my lips are not just swollen, they are huge",
        "lips not normal, swollen",
        "I don't think I can breathe properly",
        "my friend says it's nothing but her throat is getting tight",
        "is it normal my throat feels tight",
        "should I worry that my lips are swollen",
        "how long will my lips stay swollen",
        "when will the swelling of my tongue go away",
        "If this continues I'm scared, my tongue is swollen",
        "what if my throat closes, it already feels tight",
        "the numbing cream made my lips swell up",
        "after the numbing cream my lips started to swell",
        "her lips are swelling should I be worried",
        "no pain at all, no fever, just my tongue swelling",
        "no pain, tongue swollen",
        "no rash, tongue swollen, throat tight",
    ],
    ("emergency_now", "bleeding-heavy"): [
        "the bleeding won't stop",
        "it won't stop bleeding",
        "I can't stop the bleeding",
        "been bleeding for an hour and not stopping",
        "darah tak berhenti",
        "blood is spurting from my cheek",
        "its bleeding heavily",
        "bleding that does not stop",
        "Blood is soaking through the towel",
        "I have pressed for ages and it will not stop bleeding",
        "can it wait until tomorrow the bleeding wont stop",
        "can't stop bleeding",
        "is bleeding that doesn't stop normal",
        "nope, bleeding still hasn't stopped",
        "bleeding for 2 hours, it's not stopping at all",
        "my forehead just keeps bleeding and wont stop",
        "darah x berhenti dari tadi",
        "help bleeding wont stop",
        "the bleeding stopped but started again and now it won't stop",
        "I cannot stop the bleeding no matter what",
    ],
    ("emergency_now", "feeling-very-ill-sepsis"): [
        "the redness is spreading and I have a fever",
        "Fever 38.5 and the red area keeps spreading down my neck",
        "redness spreading to my jaw. also feverish",
        "i feel very ill, fever and shaking",
        "high fever and shivering since last night",
        "fever and confused",
        "demam dan menggigil lepas buat rawatan",
        "ada nanah dan demam",
        "merah merebak dan demam",
        "I feel really unwell and confused",
        "my heart is racing and I feel awful",
        "shivering and my skin is cold and clammy",
        "f\u200bev\u200ber and sha\u202eking",
        "if i press pus comes out and i have fever",
        "not only fever but also shaking",
        "fever of 39 with pus on my chin",
        "I feel fine but redness keeps spreading and my temperature is 38.5",
        "redness around my mouth is spreading, and I've got the chills and a fever",
        "my skin is hot, red, spreading and I'm shivering with fever",
        "merah dah merebak sampai leher, demam pula",
        "demam panas, menggigil",
        "fever + spreading redness",
        "fever/chills since needling",
    ],
    ("emergency_now", "thoughts-of-self-harm"): [
        "i want to die",
        "thinking of ending it",
        "i want to hurt myself",
        "whats the point of living looking like this",
        "i cant live with this face any more",
        "rasa nak bunuh diri",
        "what if i just kill myself",
    ],
    ("emergency_now", "eye-injury-or-product-in-eye"): [
        "my eye really hurts",
        "blurred vision after treatment",
        "my vision has gone blurry",
        "I cant see properly out of my left eye",
        "light hurts my eyes",
        "numbing cream got in my eye",
        "needle hit my eye",
        "mata kabur lepas rawatan",
        "mata saya sakit sangat",
        "pain when I move my eye",
        "I had it done last month and my vision is blurry now",
        "tak boleh nampak jelas",
        "eyes burning from the serum",
        "is it normal to have blurred vision after numbing cream",
        "got serum in my eyes and it burns",
        "my daughter's eye is very painful after the roller",
        "is it ok to shower? btw my eye is really painful since the session",
        "not able to see from left eye",
        "my baby sister used my roller and now her eye hurts a lot",
        "it feels like something is stuck in my eye, it hurts",
        "mata pedih sangat kena ubat kebas",
        "vision blurry",
        "eye pain",
        "does it matter that my vision is blurry",
        "no pain but vision is blurry",
    ],
    ("emergency_now", "infection-near-the-eye"): [
        "my eye is swollen shut",
        "my eyes are swelling",
        "hot red swollen eyelid after treatment",
        "mata bengkak tak boleh buka",
        "eyes nearly shut from swelling",
        "hi, can i get an appointment, my eye is swollen shut",
        "no idea why but my eyelid is swollen shut",
        "my eyelids swelled up overnight",
        "the swelling has not gone down and my eye is shut",
        "Any idea why my eyelids are so swollen?",
        "eyes are swollen shut but no pain",
    ],
    ("same_day", "skin-infection"): [
        "there is pus coming out of the spots",
        "no fever but there is pus",
        "yellow pus on my cheek, my sister says it's normal",
        "its leaking yellow liquid",
        "my cheek is hard and hot",
        "hot hard skin and increasingly painful",
        "the skin is hot and throbbing",
        "redness is spreading",
        "the pain is getting worse every day",
        "red streaks going down my neck",
        "i think its infected",
        "bernanah kat pipi",
        "muka bengkak",
        "my face is swollen",
        "face swelling now",
        "very sore and swollen face",
        "is this pus normal?",
        "is it normal that there is pus",
        "not sure if this is pus",
        "I don't think it's a big deal but there's some pus",
        "can I book for Friday? also the redness is spreading on my chin",
        "I have a fever since my session yesterday",
        "demam lepas buat microneedling",
        "i don't have fever, but pus yes",
        "no redness, no fever, but pus",
        "my husband says don't worry but his skin is hot, hard and more and more painful",
        "what if it gets worse, there is already pus",
        "Nanah keluar dari muka saya",
        "takde demam tapi ada nanah",
        "Day 4 and my cheek is getting more painful, hot",
        "the rash is spreading across my face",
        "the pus is not going away",
        "fever hasn't gone and it's been 2 days since the session",
        "Not sure but I think there's pus in one of the spots",
        "hey quick question about booking, also i noticed yellow discharge from my chin",
        "is pus ok?",
        "there's some pus, lol probably nothing",
        "wound looks infected",
        "dah 4 hari, makin merah dan sakit",
        "my jaw is rock hard and hot",
        "skin feels hot, hard, and hurts more and more",
        "rash is spreading to my neck",
        "the redness isn't going away, it's spreading",
        "no fever. no chills. redness spreading though",
        "bernanah sikit je",
        "ada air kuning keluar dari jerawat",
        "I took antibiotics last month but now there's pus again",
        "i squeezed it and pus came out",
        "my face is still swollen after a week",
        "day 5 and face is more swollen than yesterday",
        "muka bengkak teruk",
    ],
    ("same_day", "bleeding-slow"): [
        "it's still oozing after an hour",
        "I am on warfarin and it is bleeding",
        "it keeps spotting blood",
    ],
}

CALM = [
    "can it cause infection?",
    "what if I get pus",
    "is swelling normal?",
    "is a little swelling normal",
    "is a little swelling on the face normal after treatment?",
    "How long will my face be swollen?",
    "is facial swelling normal after microneedling",
    "my face is red, is that normal",
    "mild swelling on day 1",
    "a bit of swelling around my cheeks on day 1",
    "my face is a bit swollen",
    "my face is slightly swollen and red",
    "pinpoint bleeding right after the session",
    "tiny dots of blood on my face",
    "itching and dryness since yesterday",
    "my skin feels warm and tight like sunburn",
    "my skin is dry and peeling",
    "slight puffiness under my eyes",
    "no fever, no pus, just redness",
    "i don't have fever, just redness and swelling",
    "I don't have any fever, chills or pus",
    "no pus or bleeding",
    "no swelling of the lips or tongue",
    "my lips are not swollen",
    "there is no pus",
    "I am not having trouble breathing",
    "Can microneedling cause blurred vision?",
    "will I bleed a lot",
    "does it bleed a lot?",
    "does it hurt near the eyes?",
    "is it painful around the eyes?",
    "how painful is it around the eyes",
    "how do I prevent infection after",
    "what are the signs of infection",
    "What should I do if I get a fever",
    "what should i do if there is pus",
    "what happens if numbing cream gets in my eye",
    "I had an allergic reaction years ago and my lips swelled up, can I still do it?",
    "last year I had a session and couldn't breathe with the mask",
    "I used to get swollen eyes as a kid",
    "I had a fever last month but it's gone",
    "what does pus look like",
    "when should I call about bleeding",
    "can you microneedle the lips",
    "can I put eye cream on",
    "lip balm after treatment?",
    "my lips are dry",
    "are hard water and heat bad",
    "I can't see any results after 3 sessions",
    "I can't see any difference in my skin",
    "cant see my booking",
    "I'm dying to try it",
    "the pain is killing me lol",
    "I'm so excited I could die",
    "is the treatment painful",
    "how much does it cost",
    "I feel confused about the aftercare",
    "sick of my acne scars",
    "Does the needle go deep and cause heavy bleeding?",
    "is there a risk of infection",
    "is there a lot of bleeding",
    "if I get a swollen face who do I call",
    "scared of getting an infection",
    "kalau demam macam mana",
    "boleh ke kena nanah lepas rawatan?",
    "takde nanah, merah sikit je",
    "tak demam",
    "muka bengkak sikit",
    "bengkak normal ke?",
    "mata sembab sikit",
    "adakah akan berdarah banyak",
    "muka merah dan panas sikit",
    "Can I exercise if my skin is hot and sore?",
    "what are the side effects",
    "can I use the roller on my eyelids",
    "how long does swelling last",
    "how long does facial swelling last",
    "will my eyes swell",
    "will my lips swell if you treat above the mouth",
    "I have a phobia of blood and needles",
    "is blood drawn for PRP",
    "how much blood do you take for PRP",
    "a bit tender and warm",
    "redness and mild swelling day 1, bit itchy",
    "spread out my sessions",
    "how far apart do I spread the treatments",
    "the fever is gone now",
    "bleeding has stopped",
    "no more bleeding",
    "without any pus",
    "can I take aspirin before",
    "I'm on blood thinners, can I do it",
    "do I need to keep my eyes closed",
    "should I avoid the eye area",
    "is RF safe around the eyes",
    "Can it damage my eyes?",
    "could microneedling near the eye cause an infection?",
    "is it dangerous if I have a fever",
    "I have acne, is it ok",
    "my pimples are bigger",
    "hello",
    "thanks!",
    "is it hard to do at home",
    "I pressed too hard, is that bad",
    "how hard should I press",
    "face feels tight and hot after the session",
    "a little blood on the roller",
    "do you numb the lips",
    "what if my face swells up",
    "what if my lips swell?",
    "what if I can't breathe during numbing",
    "will I be able to breathe during the treatment",
    "could I get an eye infection",
    "can the numbing cream get in my eyes?",
    "can it make my eyes swell",
    "does needling cause fever",
    "I don't have pus, fever, or any swelling of the lips",
    "no pus, no fever, no spreading redness",
    "no signs of infection",
    "there's no bleeding anymore",
    "it's not infected",
    "not bleeding, not swollen",
    "my lips are fine, no swelling",
    "no breathing problems",
    "no trouble breathing, no swelling, just a bit red",
    "I never had trouble breathing",
    "My eyes don't hurt",
    "my vision is not blurry",
    "I had pus years ago after a facial elsewhere",
    "when i was a kid i had an allergic reaction and my throat swelled",
    "ten years ago my face swelled up after a peel. can I have microneedling?",
    "last year I got an infection with pus after a facial",
    "I had an eye infection last year, all fine since",
    "my swelling has gone",
    "the pus is gone",
    "fever gone, feeling good",
    "is it normal to have redness and a bit of swelling",
    "is it normal for your face to swell after microneedling",
    "should my face be swollen after PRP",
    "are swollen eyes normal after under eye needling?",
    "should there be blood",
    "should I bleed?",
    "will there be blood",
    "is there any pain around the eyes",
    "is it bad to get blood on the roller",
    "what should I do to avoid pus",
    "how will I know if it's infected",
    "how do I know if my skin gets infected",
    "can i go swimming with a scab",
    "does microneedling help with red skin",
    "my skin is hot and red like sunburn today",
    "my face feels hot",
    "slight warmth and tightness this evening",
    "my skin stings when I put on moisturiser",
    "skin is sore to touch",
    "a bit sore around my jaw",
    "a few pinpoint dots of blood during the session",
    "they dabbed the blood off during treatment, is that normal",
    "dry lips after treatment",
    "tingling lips",
    "can I wear contact lenses",
    "I want to treat the lines around my eyes",
    "spread of results over months",
    "the results are spreading joy lol",
    "I'm scared of getting pus",
    "afraid of bleeding a lot",
    "I worry about infection",
    "do people faint",
    "is fainting common",
    "I sometimes faint at needles",
    "is prp blood taken from my arm",
    "my eye bags are bad",
    "puffy eyes since yesterday",
    "my eyes are puffy",
    "a bit of puffiness under the eyes on day 1",
    "I sneezed with my mask on",
    "heart-shaped face treatment",
    "temperature of the room",
    "kalau muka bengkak macam mana",
    "kalau ada nanah nak buat apa",
    "normal ke kalau berdarah sikit",
    "ada risiko jangkitan ke",
    "muka merah je",
    "kulit kering dan gatal",
    "takde demam, takde nanah",
    "tak bengkak pun",
    "sakit ke buat microneedling",
    "demam boleh buat ke",
    "apa tanda jangkitan",
    "what would happen if I had a fever on the day",
    "call me if there's swelling",
    "if it bleeds what should i do",
    "in case of fever whom do I call",
    "which symptoms mean infection: pus, fever, spreading redness?",
    "Should I call you if redness spreads or I get a fever?",
    "what are warning signs like pus or fever",
    "I read that some people's eyes get swollen shut",
    "my friend had pus after hers, how do I avoid it",
    "is microneedling painful near the eye",
    "eye area treatment pain level?",
    "killer deal!",
    "this acne makes me want to cry",
    "I'd kill for clear skin",
    "suicide squad movie night lol",
]

ALL_URGENT = [(text, level, card) for (level, card), texts in URGENT.items() for text in texts]

MINIMISED = [
    "probably nothing but {}",
    "my sister says it's normal but {}",
    "{} lol",
    "{}, it's probably fine haha",
    "my husband thinks I worry too much. {}",
    "When can I wear makeup again? {}",
    "{}. Also how much is the next session?",
    "hi! sorry to bother you, {}",
]


def at_least(found: Level, wanted: Level) -> bool:
    return LEVELS.index(found) >= LEVELS.index(wanted)


@pytest.mark.parametrize(("text", "level", "card"), ALL_URGENT)
def test_a_red_flag_gets_its_level_and_its_card(text: str, level: Level, card: str) -> None:
    found = assess(RULES, text)
    assert found.level == level, found
    assert found.cards[0] == card


@pytest.mark.parametrize("text", CALM)
def test_questions_and_expected_effects_do_not_alarm(text: str) -> None:
    found = assess(RULES, text)
    assert found.level in ("none", "contact_clinic"), found


@pytest.mark.parametrize("frame", MINIMISED)
def test_playing_it_down_or_asking_something_else_never_lowers_a_level(frame: str) -> None:
    lowered = [text for text, level, _ in ALL_URGENT if not at_least(assess(RULES, frame.format(text)).level, level)]
    assert not lowered


@pytest.mark.parametrize("change", [str.upper, str.lower, str.title, lambda text: text.replace("'", "’")])
def test_capitals_and_apostrophes_change_nothing(change) -> None:  # type: ignore[no-untyped-def]
    lowered = [text for text, level, _ in ALL_URGENT if assess(RULES, change(text)).level != level]
    assert not lowered


@pytest.mark.parametrize("unseen", ["\u200b", "\u200d", "\u00ad", "\u202e", "\u2060", "\ufeff", "\x00"])
def test_unseen_characters_in_every_word_change_nothing(unseen: str) -> None:
    for text, level, _ in ALL_URGENT:
        spoiled = "".join(letter + unseen for letter in text)
        assert assess(RULES, spoiled).level == level, text


def test_letters_that_only_look_latin_change_nothing() -> None:
    look_alike = str.maketrans("aeopcyxi", "аеорсухі")
    assert assess(RULES, "my tongue is swelling and i cannot breathe".translate(look_alike)).level == "emergency_now"
    assert assess(RULES, "bl33ding that won't st0p").level == "emergency_now"
    assert assess(RULES, "heeeelp my tongueee is swellllling").level == "emergency_now"


@pytest.mark.parametrize(
    "word", ["swelling", "swollen", "breathing", "throat", "tongue", "bleeding", "spreading", "infected", "blurred"]
)
def test_one_typing_error_in_a_key_word_is_forgiven(word: str) -> None:
    sentence = {
        "swelling": "my tongue is {}",
        "swollen": "my lips are {}",
        "breathing": "I have trouble {}",
        "throat": "my {} is closing",
        "tongue": "my {} is swollen",
        "bleeding": "the {} won't stop",
        "spreading": "the redness is {}",
        "infected": "I think it's {}",
        "blurred": "my vision is {}",
    }[word]
    wanted = assess(RULES, sentence.format(word)).level
    assert wanted in ("same_day", "emergency_now")
    without_one = {word[:at] + word[at + 1 :] for at in range(len(word))}
    swapped = {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)}
    doubled = {word[:at] + word[at] + word[at:] for at in range(len(word))}
    missed = {
        typo
        for typo in without_one | swapped | doubled
        if not at_least(assess(RULES, sentence.format(typo)).level, wanted)
    }
    assert not missed - {"selling"}, missed  # a word of its own


def test_a_mixed_sentence_keeps_what_is_there() -> None:
    found = assess(RULES, "no fever but there is pus")
    assert [finding.id for finding in found.findings] == ["skin-infection"]
    assert found.findings[0].rules == ("pus",)


def test_spans_point_into_the_cleaned_text() -> None:
    text = "\u200bHi,\r\nthe Nanah\u200b keeps coming"
    (finding,) = assess(RULES, text).findings
    assert [clean_text(text)[start:end] for start, end in finding.spans] == ["Nanah"]


def test_two_findings_together_raise_the_level() -> None:
    assert assess(RULES, "the redness is spreading").level == "same_day"
    assert assess(RULES, "I have a fever").level == "contact_clinic"
    both = assess(RULES, "the redness is spreading and I have a fever")
    assert both.level == "emergency_now"
    assert both.cards == ("feeling-very-ill-sepsis", "skin-infection")
    assert "fever-with-signs-of-infection" in {rule for finding in both.findings for rule in finding.rules}
    swollen = assess(RULES, "my face is a bit swollen and I've hives, can't breathe")
    assert "allergic-reaction" in {finding.id for finding in swollen.findings}


def test_earlier_messages_complete_a_pair() -> None:
    earlier = ["the redness on my jaw is spreading", "ok thanks"]
    assert assess(RULES, "now I have a fever too", earlier).level == "emergency_now"
    assert assess(RULES, "it won't stop", ["there is some blood on my cheek"]).level == "emergency_now"


def test_earlier_messages_never_alarm_by_themselves() -> None:
    assert assess(RULES, "when are you open?", ["I cannot breathe", "there is pus"]).level == "none"


def test_what_was_taken_back_completes_nothing() -> None:
    earlier = ["I have a fever", "the fever is gone"]
    assert assess(RULES, "the redness is spreading", earlier).level == "same_day"
    assert assess(RULES, "no fever any more, but the redness is spreading", ["I have a fever"]).level == "same_day"


def test_the_same_text_always_gets_the_same_assessment() -> None:
    text = "fever, pus, my eye hurts and the bleeding won't stop"
    assert len({assess(RULES, text) for _ in range(5)}) == 1
    assert assess(SafetyRules.load(FOLDER), text) == assess(RULES, text)


def test_every_alarm_has_a_card_and_the_version_of_the_rules() -> None:
    for text, _, _ in ALL_URGENT:
        found = assess(RULES, text)
        assert found.cards and set(found.cards) <= set(RULES.cards)
        assert found.rules_version == RULES.version
    assert len(RULES.version) == 64


@pytest.mark.parametrize("other", ["self-harm", "bleeding"])
def test_the_most_urgent_card_stands_first(other: str) -> None:
    text = {"self-harm": "i want to die", "bleeding": "the bleeding won't stop"}[other]
    assert assess(RULES, f"{text}. I can't breathe. There is pus").cards[0] == "severe-allergic-reaction"
    assert assess(RULES, f"{text}. I can't breathe. There is pus").cards[-1] == "skin-infection"


# Text of any kind, and text made of the rules' own words, cues and marks.
PIECES = [
    "no",
    "not",
    "fever",
    "pus",
    "or",
    "and",
    "my",
    "lips",
    "swollen",
    ",",
    ".",
    "if",
    "years ago",
    "can't",
    "see",
    "breathe",
    "gone",
    "it",
    "what if",
    "bleeding",
    "won't stop",
    "\n",
    "?",
    "tak",
    "nanah",
    "/",
    "...",
    "38.5",
    "\u200f",
]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(st.characters(), max_size=300), st.lists(st.sampled_from(PIECES), max_size=60).map(" ".join)))
@example("\ud800 my lips are \udfff swollen")
@example("")
@example("\ufdfa" * 50)
def test_no_text_raises_an_error(text: str) -> None:
    found = assess(RULES, text, [text, text])
    length = len(clean_text(text))
    assert all(0 <= start < end <= length for finding in found.findings for start, end in finding.spans)
    assert (found.level in ("same_day", "emergency_now")) <= bool(found.cards)


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(), max_size=200))
@example("a\u0301\u200b\u0323")
@example("\u1100\u200b\u1161")
def test_cleaning_twice_changes_nothing_and_leaves_no_unseen_character(text: str) -> None:
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned
    assert not set(cleaned) & set("\x00\r\x7f\u200b\u200e\u200f\u202a\u202e\u2066\ufeff\ud800")


def test_cleaning_keeps_newlines_and_tabs_and_makes_full_width_digits_plain() -> None:
    assert clean_text("a\tb\r\nc\rd\u2028e") == "a\tb\nc\nd\ne"
    assert clean_text("\uff10\uff11\uff12-345") == "012-345"


def cpu_seconds(text: str) -> float:
    """The least CPU time of five readings; the least is what the text costs, the rest is the machine's."""
    times = []
    for _ in range(5):
        start = time.process_time()
        assess(RULES, text)
        times.append(time.process_time() - start)
    return min(times)


WORST = [
    "no X not Y but Z ",
    "no fever not pus but redness ",
    "swollen lips ",
    "no or ",
    "no,fever,",
    "if i have pus and i ",
    "pressed soaked oozing losing blood ",
    "sweling brething ",
    "aaaaaaa",
    "fever ",
    "a\u0301\u0323",
    "\u200b",
    "years ago had pus ",
]


@pytest.mark.parametrize("piece", WORST)
def test_the_longest_message_takes_little_time(piece: str) -> None:
    assert cpu_seconds((piece * 4096)[:4096]) < 0.05


@pytest.mark.parametrize("piece", WORST)
def test_the_time_grows_with_the_length_and_no_faster(piece: str) -> None:
    short, long = (cpu_seconds((piece * 40_000)[:length]) for length in (8_000, 64_000))
    assert long < 8 * 2.5 * short + 0.01


def copy_of_the_rules(folder: Path) -> Path:
    for file in FOLDER.iterdir():
        shutil.copy(file, folder)
    return folder


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("infection.yml", "    level: same_day\n", "    level: today\n", "Invalid enum value 'today'"),
        ("infection.yml", "patterns: [pus]", "patterns: [puss]", "no entry of words is called `puss`; mend the name"),
        ("infection.yml", "id: redness-spreading", "id: pus", "the id `pus` is used twice; rename one"),
        ("infection.yml", "    card: skin-infection\n", "", "is same_day and has no card; name an urgent FAQ entry"),
        ("infection.yml", "card: skin-infection", "card: skin", "`skin` is not in cards.yml"),
        ("infection.yml", "finding: redness\n", "finding: redness\n    colour: red\n", "unknown field `colour`"),
        ("infection.yml", "    rationale:", "    level: none\n    rationale:", "`level` is written twice; keep one"),
        ("airway.yml", "hives + fainting", "hives + faint", "no finding is called `faint`; mend the name"),
        ("airway.yml", "      - chest ... (tight", "      - chest ... ... (tight", "has a gap beside a gap; write one"),
        ("airway.yml", "{cannot} (swallow", "{can} (swallow", "names {can}, which is no entry of words"),
        ("airway.yml", "    en: [hives,", "    en: [hives|weals,", "put (a|b) in brackets"),
        ("airway.yml", "https://www.nhs.uk/conditions/anaphylaxis/", "nhs", "`nhs` is not a web address; mend it"),
        ("context.yml", "    en: [or, nor]", "    en: [or, nor, and not]", "this list takes single words"),
        ("context.yml", "key_words:\n  [", "key_words:\n  [pus, ", "is shorter than 6 letters or in no phrase"),
        ("cards.yml", "most_urgent_first:", "most_urgent_first: [", "not valid YAML"),
    ],
)
def test_a_wrong_rule_file_is_refused_with_file_line_and_mend(
    tmp_path: Path, file: str, old: str, new: str, problem: str
) -> None:
    wrong = copy_of_the_rules(tmp_path) / file
    text = wrong.read_text(encoding="utf-8")
    assert old in text
    wrong.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(RuleFileError) as refused:
        SafetyRules.load(tmp_path)
    matching = [line for line in refused.value.problems if problem in line]
    assert matching, refused.value.problems
    place, line, _ = matching[0].removeprefix(str(tmp_path)).split(":", 2)
    assert place == f"/{file}"
    assert abs(int(line) - (text[: text.index(old)].count("\n") + 1)) <= 8


def test_a_folder_without_rules_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleFileError, match=r"cards\.yml and context\.yml is missing; put it back"):
        SafetyRules.load(tmp_path)


def test_a_changed_rule_changes_the_version(tmp_path: Path) -> None:
    folder = copy_of_the_rules(tmp_path)
    assert SafetyRules.load(folder).version == RULES.version
    with (folder / "cards.yml").open("a", encoding="utf-8") as file:
        file.write("# a remark\n")
    assert SafetyRules.load(folder).version != RULES.version
