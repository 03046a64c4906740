"""Notes with a form of their own: minutes, recipe, receipt, itinerary, manual."""

from __future__ import annotations

from facts import Fact, Writer, capital
from shapes import HEADS
from values import VALUES


def _ask(writer: Writer, kind: str, subject: str, name: str, value: str, *asked: str) -> Fact:
    """A fact of a special shape; the last wording of the question is kept for tests."""
    chosen = asked[-1:] if writer.held else asked[:-1]
    return Fact(kind, subject, name, name, value, "\0", tuple(capital(q) for q in chosen))


# fmt: off
def minutes(writer: Writer) -> tuple[str, list[Fact]]:
    rng, v = writer.rng, writer.values
    meeting = v.subject("meeting")
    people = list(dict.fromkeys(v.person() for _ in range(rng.randint(2, 4))))
    facts: list[Fact] = []
    lines = [capital(meeting)]
    when, chair = v.make("date"), rng.choice(people)
    lines.append(f"{rng.choice(['Date', 'When'])}: {when}")
    facts.append(_ask(writer, "meeting", meeting, "day", when, f"When was {meeting}?",
                      f"On what date was {meeting}?", f"When did {meeting} take place?"))
    lines.append("Present: " + ", ".join(people))
    if rng.random() < 0.6:
        lines.append(f"{rng.choice(['Chair', 'Minutes'])}: {chair}")
        word = lines[-1].split(":")[0].lower()
        asked = (
            (f"Who chaired {meeting}?", f"Who was the chair of {meeting}?")
            if word == "chair"
            else (f"Who took the minutes of {meeting}?", f"Who wrote the minutes of {meeting}?")
        )
        facts.append(_ask(writer, "meeting", meeting, "host", chair, *asked))
    lines.append(rng.choice(["Actions:", "To do:", "Next steps"]))
    tasks = list(dict.fromkeys(v.make("task") for _ in range(len(people))))
    for who, task in zip(people, tasks, strict=False):
        due = v.make("date")
        line = rng.choice([f"- {who}: {task} by {due}", f"- {task} ({who}, {due})",
                           f"- {who} will {task} until {due}"])
        lines.append(line)
        facts.append(_ask(writer, "task", who, f"task of {who}", task,
                          f"What does {who} have to do?", f"What will {who} do?",
                          f"What is the task of {who}?"))
        facts.append(_ask(writer, "task", task, f"who does {task}", who, f"Who will {task}?",
                          f"Who has to {task}?", f"Whose job is it to {task}?"))
        facts.append(_ask(writer, "task", task, f"due {task}", due, f"By when should we {task}?",
                          f"Until when will {who} {task}?", f"When is the time up to {task}?"))
    return "\n".join(lines), facts


def recipe(writer: Writer) -> tuple[str, list[Fact]]:
    rng, v = writer.rng, writer.values
    dish = v.subject("dish")
    facts: list[Fact] = []
    lines = [capital(dish)]
    serves, heat, time = str(rng.randint(2, 12)), v.make("temperature"), v.make("duration")
    stock = "flour|sugar|butter|rice|lentils|onions|oats|chickpeas|tomatoes|cream|spinach|carrots"
    names = rng.sample(
        [s for i, s in enumerate(stock.split("|")) if (i % 5 == 4) == writer.held], 2
    )
    if not writer.held:
        names += rng.sample([s for s in stock.split("|") if s not in names], rng.randint(0, 2))
    lines.append(rng.choice([f"Serves {serves}", f"For {serves} people", f"Portions: {serves}"]))
    facts.append(_ask(writer, "dish", dish, "servings", serves, f"How many does {dish} serve?",
                      f"For how many people is {dish}?", f"How many people can eat {dish}?"))
    for name in names:
        amount = f"{rng.choice('1 2 3 4 50 120 200 350 500'.split())} "
        amount += rng.choice("g|ml|cups|tablespoons|ounces".split("|"))
        lines.append(rng.choice(["- ", ""]) + rng.choice([f"{amount} {name}", f"{name}: {amount}"]))
        facts.append(_ask(writer, "dish", dish, f"amount of {name}", amount,
                          f"How much {name} goes into {dish}?", f"How much {name} do I need?",
                          f"What amount of {name} is in {dish}?"))
    lines.append(rng.choice([f"Bake at {heat} for {time}.", f"Oven {heat}, {time}.",
                             f"Cook everything, then {time} in the oven at {heat}."]))
    facts.append(_ask(writer, "dish", dish, "heat", heat, f"How hot must the oven be for {dish}?",
                      f"At what temperature does {dish} bake?", f"What heat does {dish} need?"))
    facts.append(_ask(writer, "dish", dish, "time", time, f"How long does {dish} bake?",
                      f"How long is {dish} in the oven?", f"How much time does {dish} need?"))
    return "\n".join(lines), facts


def receipt(writer: Writer) -> tuple[str, list[Fact]]:
    rng, v = writer.rng, writer.values
    shop, date = v.company(), v.make("date")
    sign = rng.choice(["$", "€", "£", ""])
    goods = list(dict.fromkeys(v.make("item") for _ in range(rng.randint(2, 5))))
    facts: list[Fact] = []
    lines = [shop, date]
    gap, total = rng.choice([" ", ": ", " ..... ", "\t"]), 0.0
    for good in goods:
        price = rng.randint(100, 9900) / 100
        total += price
        lines.append(f"{capital(good)}{gap}{sign}{price:.2f}")
        facts.append(_ask(writer, "receipt", good, f"price of {good}", f"{sign}{price:.2f}",
                          f"How much was the {good}?", f"What did the {good} cost?",
                          f"What did I pay for the {good}?"))
    lines.append(f"{rng.choice(['Total', 'TOTAL', 'Sum'])}{gap}{sign}{total:.2f}")
    facts.append(_ask(writer, "receipt", shop, "total", f"{sign}{total:.2f}", "What was the total?",
                      f"How much did I spend at {shop}?", f"What did I pay in all at {shop}?"))
    facts.append(_ask(writer, "receipt", shop, "date", date, f"When was I at {shop}?",
                      f"When did I shop at {shop}?", f"On which day did I go to {shop}?"))
    facts.append(_ask(writer, "receipt", shop, "shop", shop, f"Where did I buy the {goods[0]}?",
                      f"Which shop is the {goods[0]} from?", f"Who sold me the {goods[0]}?"))
    return "\n".join(lines), facts


def itinerary(writer: Writer) -> tuple[str, list[Fact]]:
    rng, v = writer.rng, writer.values
    facts: list[Fact] = []
    lines = [f"{capital(v.subject('trip'))}, {rng.randint(2015, 2030)}"]
    times = sorted(rng.sample(range(6, 23), rng.randint(2, 4)))
    label = rng.choice(["Day {}", "{}. day"])
    for number, hour in enumerate(times, 1):
        town, hotel, at = v.place(), v.make("hotel"), f"{hour}:{rng.choice(['00', '15', '30'])}"
        head = label.format(number)
        lines.append(rng.choice([f"{head}: {at} train to {town}, night at {hotel}",
                                 f"{head} - {town} (leave {at}), sleep in {hotel}"]))
        facts.append(_ask(writer, "trip", town, f"hotel in {town}", hotel,
                          f"Where do we sleep in {town}?", f"Which hotel do we have in {town}?",
                          f"Where do we spend the night in {town}?"))
        facts.append(_ask(writer, "trip", town, f"time to {town}", at,
                          f"When do we leave for {town}?", f"At what time do we go to {town}?",
                          f"When is the start to {town}?"))
        facts.append(_ask(writer, "trip", head, f"goal of {head}", town,
                          f"Where do we go on day {number}?", f"Which town comes on day {number}?",
                          f"What is the goal of day {number}?"))
    return "\n".join(lines), facts


def manual(writer: Writer) -> tuple[str, list[Fact]]:
    rng, v = writer.rng, writer.values
    device = v.subject("device")
    facts: list[Fact] = []
    lines = [rng.choice(HEADS).format(capital(device))]
    codes = [f"E{n}" for n in rng.sample(range(1, 99), 3)]
    chosen = [c for i, c in enumerate(VALUES["cause"]) if (i % 3 == 2) == writer.held]
    for code, cause in zip(codes, rng.sample(chosen, 3), strict=True):
        lines.append(
            rng.choice([f"{code}: {cause}", f"{code} means {cause}.", f"{code} - {cause}"])
        )
        facts.append(_ask(writer, "manual", code, f"meaning of {code}", cause,
                          f"What does {code} mean?", f"What is error {code}?",
                          f"What is wrong when it shows {code}?"))
    reset, hold = rng.choice(["power", "red", "menu", "back"]), str(rng.randint(3, 20))
    lines.append(f"To reset, hold the {reset} button for {hold} seconds.")
    facts.append(_ask(writer, "manual", device, "reset time", f"{hold} seconds",
                      "How long do I hold the button to reset it?", f"How long is {device} reset?",
                      f"How long must I press to reset {device}?"))
    facts.append(_ask(writer, "manual", device, "reset button", f"{reset} button",
                      f"Which button resets {device}?", "What do I hold to reset it?",
                      f"What must I press to reset {device}?"))
    return "\n".join(lines), facts
