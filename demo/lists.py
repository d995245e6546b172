"""The fifth answer: a campaign list, as an operations team hands it on."""

from demo.profiles import Profile, describe
from demo.serving import Service

_ROWS = 5


def show_list(service: Service, profile: Profile) -> None:
    """Ask for a list without copies, spread over categories, and say why in words."""
    print(f"\n5. A campaign list around {describe(profile)}: no copies, two of a category\n")
    question = {
        "positive": [{"streamer_id": profile["streamer_id"]}],
        "k": _ROWS,
        "without_copies": True,
        "diversify": {"by": "category", "max_per_value": 2},
        "fields": ["name", "category"],
        "explain": "short",
        "language": "en",
    }
    answer = service.ask("POST", "/v1/lists:preview", question)
    for row in answer["rows"]:
        shown = row["fields"]
        about = "  ".join(str(shown[name]) for name in ("name", "category") if shown.get(name))
        print(f"   {row['rank']}. {row['score']:.3f}  {row['streamer_id']}  {about}")
        print(f"          {row['why']}")
    print("\n   The same as a spreadsheet: POST /v1/lists:preview?format=xlsx, or the console")
