"""Inputs made by grammars and spoiled at random: refused with a reason, or read and told back."""
