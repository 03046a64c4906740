"""Notes that the tests of `nightschool.pairs` write themselves; none of it is in the examples."""

from __future__ import annotations

NOTES: dict[str, str] = {
    "People/Henny Aldersey.md": (
        "# Henny Aldersey\n\nHenny moved to Gdansk in March 2019 with her sister. She restores "
        "violins at the Kowal workshop and owes me €65 for varnish.\n\n"
        "- Phone: 020 7946 0155\n- **Birthday:** 4 April 1979\n- Allergic to: latex\n"
        "- Favourite cheese: gouda\n"
    ),
    "House/Heat pump.md": (
        "# Heat pump\n\nModel: Norvik HP-9\nBought: 3 June 2023 at Bauhof\nPrice: £4,870\n\n"
        "The filter should be cleaned every three months. Error E7 means that the fan is blocked. "
        "The installer was Piet Groen. The outdoor unit is 84 cm high.\n"
    ),
    "Meetings/2025-05-06 Garden club.md": (
        "# 2025-05-06 Garden club\n\nChair: Orla Finch\nLocation: potting shed\n\n"
        "The plant sale starts on 14 June at 10:00. Orla Finch rejected the offer from Greenline "
        "because the contract ran for five years. The entry fee is £3.\n\n"
        "- [ ] Rafi: order forty clay pots\n"
    ),
    "Recipes/Barley stew.txt": (
        "Barley stew\n\nServes: 6\n\n300 g pearl barley\n2 leeks\n1.5 litres stock\n\n"
        "Simmer the barley in the stock for 40 minutes. Freezes well for up to two months.\n"
    ),
    "Trips/Bergen 2026.md": (
        "# Bergen 2026\n\nThe train to Oslo leaves at 07:48 and takes seven hours. We stay at "
        "Hotel Fjellheim for four nights.\n\n| Day | Plan | Cost |\n|---|---|---|\n"
        "| Monday | funicular | 170 NOK |\n| Tuesday | fish market | 95 NOK |\n"
    ),
    "Diary/2025-02-09.md": (
        "# 2025-02-09\n\nWalked with Ines to the old mill. In the evening we played chess and I "
        "lost twice. Ines has applied for a job in Malmö.\n"
    ),
    "Work/Build server.md": (
        "# Build server\n\n- **Owner:** Kasimir Dorn\n- **Port:** 9443\n\nThe build server is "
        "called magpie and runs Debian 12. Backups are written every night at 01:30 and kept for "
        "14 days. The certificate expires on 9 July 2027.\n"
    ),
    "Work/Secrets.md": (
        "# Router access\n\nNetwork name: Kittiwake\nPassword: [redacted: password]\n\n"
        "The admin token is [redacted: token] and expires on 1 May 2027. "
        "The router stands behind the piano.\n"
    ),
}

ODD: dict[str, str] = {
    "empty.md": "",
    "one.txt": "Milk",
    "marks.md": "---\n***\n> > >\n| |\n|-|\n| |\n- \n1.\n#\n**\n[](): :",
    "code.md": "```python\nfor i in range(3):\n    print(i)\n```\n",
    "german.md": "Gestern waren wir in der Stadt und haben drei Bücher gekauft. Es regnete sehr.",
    "chinese.md": "今天我们去了公园,买了三本书。天气很好。",
    "long.txt": " ".join(["wind blows over the hill"] * 1000),
    "word.txt": "A" * 5000,
    "binary.txt": "\x00\x01 \ufffd\u202e weird \u200b text: yes",
}
