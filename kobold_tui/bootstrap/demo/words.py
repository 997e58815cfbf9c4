"""What the scripted model of the demonstration answers, whatever it is asked."""

REPLY = """\
## You are looking at a demonstration

Nothing here is computed: this answer is a **script**, the cards are made up, and the models are *headers \
without weights*. Everything else is the real program, so feel free to press every key.

### What to try

1. **F3** shows the cards: whose memory it is, how busy they are, and the last ten minutes.
2. **F2** goes to the models. Enter loads one in place of this one, with progress; Esc cancels.
3. Ask something again while this text arrives: typing stays smooth, `Esc` stops an answer, and the
   view follows the end only while you are there.
   - scroll up with PgUp, and the text stays where it is
   - F1 explains the place where you are, with all its keys

### How a model finds its place

A layer goes to a card as a whole. What is left after the weights is for the context:

| part | grows with | where |
|---|---|---|
| weights | layers on the card | card, the rest in RAM |
| KV cache | context × layers | beside the layer |
| compute | batch size | every card that works |

```python
def layers_that_fit(free_bytes: int, layer_bytes: int, reserve_bytes: int) -> int:
    \"\"\"Return how many layers a card takes when some of it is to stay free.\"\"\"
    room = max(0, free_bytes - reserve_bytes)
    return room // layer_bytes
```

> A model that fits completely is five to ten times as fast as one that is half in RAM.

That is all there is to say. To start for real, leave with `ctrl+q` and run `kobold-tui` without `--demo`.
"""
