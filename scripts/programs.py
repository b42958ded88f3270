"""programs.py NAME...: reads cargo's messages and prints a line for each test program: its name, the folder to run it in
and its file; those that are named first, in that order."""

import json
import os
import sys


def main():
    first = {name: place for place, name in enumerate(sys.argv[1:])}
    found = []
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message["executable"] and message["profile"]["test"]:
            folder = os.path.dirname(message["manifest_path"])
            found.append((message["target"]["name"], folder, message["executable"]))
    found.sort(key=lambda program: first.get(program[0], len(first)))
    for program in found:
        print(*program)


main()
