"""The sandbox as its users meet it: a real process, real HTTP, real kills."""
