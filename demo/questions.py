"""Three questions and their answers, printed so that a person can judge them."""

from collections import Counter
from typing import Any

from demo.profiles import Profile, describe
from demo.serving import Service

_TOLD = {
    "contacts": "both name the contact",
    "tags": "both tag",
    "titles": "both have the title",
    "phrases": "both say",
    "pictures": "same picture:",
    "similar_pictures": "copied picture:",
    "sounds": "same sound:",
    "similar_sounds": "copied sound:",
    "category": "both in",
    "language": "language",
    "audience": "audience:",
    "topic": "same topic by meaning:",
}


def show_similar(service: Service, profiles: dict[str, Profile], profile: Profile) -> None:
    """Ask who is like a streamer that is stored."""
    print(f"\n1. Who is like {describe(profile)}\n")
    body = {"positive": [{"streamer_id": profile["streamer_id"]}], "k": 5, "explain": True}
    for hit in service.ask("POST", "/v1/similar", body)["hits"]:
        print(f"   {hit['score']:.3f}  {describe(of(profiles, hit))}")
        print(f"          {reasons(hit)}")


def of(profiles: dict[str, Profile], found: dict[str, Any]) -> Profile:
    """The profile of a found streamer; its id alone when it was written since the demo loaded."""
    return profiles.get(found["streamer_id"], {"streamer_id": found["streamer_id"]})


def reasons(hit: dict[str, Any]) -> str:
    """Why a streamer was found, in words."""
    why = hit["reasons"]
    if why is None:  # it was deleted since it was found
        return ""
    most = most_by(why)
    parts = [most] if most else []
    for kind, values in why["shared"].items():
        parts.append(f"{_TOLD[kind]} {', '.join(map(told, values))}")
    if why["content_similarity"] is not None:
        parts.append(f"content cosine {why['content_similarity']:.2f}")
    return "; ".join(parts)


def told(shared: str | dict[str, Any]) -> str:
    """What both show, in the words of both; pictures and sounds by their places."""
    if isinstance(shared, str):
        return shared
    seed, hit = shared["seed_quote"], shared["hit_quote"]
    if not seed and not hit:
        return f"{shared['seed']} = {shared['hit']}"
    if seed.casefold() == hit.casefold():
        return f'"{seed}"'
    sign = "=" if shared["similarity"] is None else f"~{shared['similarity']:.2f}"
    return f'"{seed}" {sign} "{hit}"'


def most_by(why: dict[str, Any]) -> str:
    """The two modalities that contribute most to the cosine."""
    told = [(m["contribution"] or 0, name) for name, m in (why["contributions"] or {}).items()]
    most = [f"{name} ({share:.2f})" for share, name in sorted(told)[:-3:-1] if share >= 0.005]
    return "depends most on " + " and ".join(most).replace("(0.", "(.") if most else ""


def show_cold_start(service: Service, profiles: dict[str, Profile], profile: Profile) -> None:
    """Ask what a recommender should take a newcomer for."""
    content = {key: value for key, value in profile.items() if key != "streamer_id"}
    print(f"\n2. A newcomer, whom no one has watched yet: {describe(profile)}\n")
    answer = service.ask("POST", "/v1/cold-start", {"profile": content, "neighbours": 5})
    for neighbour in answer["neighbours"]:
        print(f"   weight {neighbour['weight']:.2f}  {describe(of(profiles, neighbour))}")
        voters = [
            of(profiles, {"streamer_id": voter}).get("name", voter)
            for voter in neighbour["via"]
            if voter != neighbour["streamer_id"]
        ]
        if voters:
            print(f"{'':15}watched by the audience of {', '.join(voters)}")
    predicted = answer["id_embedding"]
    if predicted and predicted["vector"]:
        what = f"{len(predicted['vector'])} numbers in the space {predicted['space']!r}"
        known = predicted["confidence"]
        print(f"   ID-embedding: {what}" + ("" if known is None else f", confidence {known:.2f}"))
    if answer["fallback"]["used"]:
        print(f"   fallback: {answer['fallback']['reason']}")


def show_dedup(service: Service, profiles: dict[str, Profile], groups: dict[str, str]) -> None:
    """Ask which accounts of a list are copies; without known ones in the data, make two."""
    sizes = Counter(groups.values())
    wanted = [group for group, size in sizes.items() if 2 <= size <= 4][:3]
    copies = [profiles[i] for i, group in groups.items() if group in wanted]
    others = [p for p in profiles.values() if sizes[groups.get(p["streamer_id"], "")] < 2]
    if not copies:
        originals = sorted(others, key=lambda p: -len(p.get("tags", [])))[:2]
        copies = originals + [reuploaded(profile) for profile in originals]
    items = copies + [p for p in others if p not in copies][: 12 - len(copies)]
    items.sort(key=lambda p: p["streamer_id"])
    print(f"\n3. Which of these {len(items)} accounts are copies?\n")
    by_id = {item["streamer_id"]: item for item in items}
    body = {"ids": list(by_id)} if wanted else {"profiles": items}
    answer = service.ask("POST", "/v1/dedup", {**body, "mode": "clusters"})
    for cluster in answer["clusters"]:
        for member in cluster["members"]:
            i = member["streamer_id"]
            truth = f"  ({groups[i]} in truth)" if i in groups else ""
            print(f"   {member['score']:.3f}  {i}  {describe(by_id[i])}{truth}")
        print()
    found = f"{len(answer['clusters'])} groups above {answer['threshold']:.2f}"
    print(f"   {found}; {len(answer['unique'])} accounts stand alone")


def reuploaded(profile: Profile) -> Profile:
    """A copy as cheats make it: another id and name, the tags in another order, one left out."""
    tags = profile.get("tags", [])
    changed = {"name": f"{profile.get('name', 'the same')} (official)", "tags": tags[:0:-1]}
    return {**profile, **changed, "streamer_id": f"{profile['streamer_id']}-copy"}
