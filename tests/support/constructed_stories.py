"""Files of other programs, constructed from their formats; none was written by those programs."""

from __future__ import annotations

from typing import Any

TAVERN: list[Any] = [
    {
        "user_name": "Al",
        "character_name": "Kim",
        "create_date": "2024-01-02",
        "chat_metadata": {"note_prompt": "N"},
    },
    {"name": "Kim", "is_user": False, "mes": "Hi", "swipes": ["Hello", "Hi"], "swipe_id": 1},
    {"name": "Al", "is_user": True, "mes": "Hey", "send_date": 1_700_000_000_000},
    {"name": "Kim", "is_user": False, "mes": "So?", "extra": {"reasoning": "r", "model": "m"}},
]

SETTINGS = {
    "opmode": 4,
    "instruct_sysprompt": "Sys",
    "chatname": "Al",
    "chatopponent": "Kim||$||Bo",
    "temp": 0.7,
}
ENTRY = {
    "key": "boat, ship",
    "keysecondary": "sea",
    "keyanti": "air",
    "content": "It floats.",
    "comment": "c",
    "folder": None,
    "selective": True,
    "constant": False,
    "probability": "75",
    "wigroup": "g",
    "widisabled": True,
    "x": 1,
}
SAVED: dict[str, Any] = {
    "gamestarted": True,
    "prompt": "Once.\n{{[INPUT]}}\nHello\n{{[OUTPUT]}}\n",
    "actions": ["Hi there", "\n{{[INPUT]}}\nMore\n{{[OUTPUT]}}\n", "Yes\n"],
    "actions_metadata": {"0": {"Selected Text": "Hi there", "Alternative Text": []}},
    "memory": "M \ud83d",
    "authorsnote": "N",
    "anotetemplate": "[<|>]",
    "anotestr": 160,
    "worldinfo": [ENTRY],
    "wisearchdepth": 512,
    "wiinsertlocation": "1",
    "personal_notes": "P",
    "altbranches": [None, {"prompt": "b"}],
    "completed_imgs_meta": {"1": {"z": 1.10}},
    "savedsettings": SETTINGS,
    "unknown": {"deep": [1, 2.5, None, "ü"]},
}

V1 = {
    "name": "Kim",
    "description": "D",
    "personality": "P",
    "scenario": "S",
    "first_mes": "Hi {{user}}",
    "mes_example": "E",
}
BOOK = {
    "entries": [
        {
            "keys": ["boat"],
            "secondary_keys": ["sea"],
            "content": "It floats.",
            "comment": "c",
            "selective": True,
            "constant": True,
            "enabled": False,
            "insertion_order": 7,
            "case_sensitive": True,
            "extensions": {"probability": 50},
        }
    ]
}
DATA = {
    **V1,
    "alternate_greetings": ["I am {{char}}.", "", 5],
    "system_prompt": "Sys",
    "post_history_instructions": "Post",
    "creator": "C",
    "creator_notes": "N",
    "character_version": "2",
    "tags": ["a", "b"],
    "character_book": BOOK,
}
V2 = {"spec": "chara_card_v2", "spec_version": "2.0", "data": DATA}
V3 = {
    "spec": "chara_card_v3",
    "spec_version": "3.0",
    "data": {**DATA, "nickname": "K", "group_only_greetings": []},
}
