"""The gate: what a strategy must show before it climbs, the verdict, and the record that binds what runs to it."""
