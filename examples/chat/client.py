"""Talk to the counter through any OpenAI-style API, streamed: an ordinary program."""

import sys

from openai import OpenAI

QUESTIONS = ("What is the capital of Peru?", "法国的首都是哪里？", "Who can read my question?")


def main(url: str, questions: tuple[str, ...] = QUESTIONS) -> int:
    """Print each answer as it grows; return how many stayed empty."""
    client = OpenAI(base_url=f"{url}/v1", api_key="local", max_retries=0)
    empty = 0
    for question in questions:
        print(f"> {question}")
        stream = client.chat.completions.create(
            model="chat",
            messages=[{"role": "user", "content": question}],
            max_tokens=60,
            temperature=0,
            stream=True,
        )
        said = 0
        for event in stream:
            text = (event.choices[0].delta.content or "") if event.choices else ""
            said += len(text)
            print(text, end="", flush=True)
        print()
        empty += not said
    return empty


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], tuple(sys.argv[2:]) or QUESTIONS))
