"""Tests of the engine with throw-away projects and input that is out to break it."""
