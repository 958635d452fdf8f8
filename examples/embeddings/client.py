"""Search a bank's notices by meaning, through any OpenAI-style API: an ordinary program."""

import sys

from openai import OpenAI

NOTICES = (
    "Branches open from 9:00 to 17:00 on working days and close on public holidays.",
    "A lost or stolen card is blocked at once when you call the hotline, day and night.",
    "Transfers abroad need the beneficiary's account number and the SWIFT code of the bank.",
    "The fixed deposit pays 2.1 % a year; withdrawing early costs the interest.",
    "Mortgage applicants bring proof of income for the last twelve months.",
    "Your statement can be downloaded as a PDF for the last five years.",
    "Suspicious messages that ask for your password are never from us.",
    "Children may open a savings account together with a parent.",
    "The machine keeps a card after three wrong PINs; bring your passport to collect it.",
    "Exchange rates are set every morning at half past nine.",
)
QUESTIONS = (
    ("somebody stole my bank card", 1),
    ("when can I visit you on a Monday?", 0),
    ("sending money to another country", 2),
    ("is this email phishing?", 6),
    ("buying a house", 4),
)
"""A question and the notice that answers it; most share no word."""


def main(url: str) -> int:
    """Print the best notice for each question; return how many were wrong."""
    client = OpenAI(base_url=f"{url}/v1", api_key="local", max_retries=0)

    def vectors(texts: list[str]) -> list[list[float]]:
        made = client.embeddings.create(model="embeddings", input=texts)
        return [row.embedding for row in made.data]

    notices = vectors(list(NOTICES))
    wrong = 0
    for (question, right), asked in zip(
        QUESTIONS, vectors([text for text, _ in QUESTIONS]), strict=True
    ):
        likeness = [sum(a * b for a, b in zip(asked, each, strict=True)) for each in notices]
        best = max(range(len(NOTICES)), key=likeness.__getitem__)
        wrong += best != right
        print(f"{question}\n  {likeness[best]:.2f}  {NOTICES[best]}")
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
