"""A guess at whether a message is written in Malay; short messages and mixed ones included."""

from __future__ import annotations

import re

#: Common Malay words that are no English ones; chat spellings included.
_MALAY = frozenset(
    """saya aku anda awak kami kita dia mereka tak tidak takde takda tiada boleh bleh nak mahu hendak macam mcm
    bila kenapa mengapa bagaimana mana berapa apa adakah ke kah ini itu dan atau dengan dgn untuk utk pada
    dari dalam selepas lepas sebelum sudah dah belum sangat sgt muka kulit mata bibir lidah leher darah
    nanah demam bengkak sakit pedih gatal merah panas sesak nafas bernafas jerawat ubat doktor klinik
    rawatan jarum hari jam minggu harga bayar tolong perlu masih lagi juga jugak kalau sebab banyak sikit
    sekali semalam esok pagi malam rumah mekap solek cuci guna pakai susah pengsan mati bunuh diri kabur
    bernanah berdarah berhenti ada orang buat bukan kena pergi balik dekat kat beli murah mahal makan minum
    kerja anak kawan besar kecil semua lain atas bawah tahun bulan minit selamat terima kasih maaf""".split()
)
_ALSO_ENGLISH = frozenset({"dan", "ke", "ini", "mana", "dia", "jam", "panas", "mata", "kami"})


def guess_language(text: str) -> str | None:
    """`ms` when the words are Malay enough, `en` when none is, None when the message is mixed or says too little.

    A guess, for choosing among approved texts; it never decides what is safe.
    """
    words = re.findall(r"[a-z]+", text.lower())
    malay = [word for word in words if word in _MALAY]
    sure = [word for word in malay if word not in _ALSO_ENGLISH]
    if sure and len(malay) * 3 >= len(words):
        return "ms"
    if sure:
        return None
    return "en" if len(words) >= 3 else None
