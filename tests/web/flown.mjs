// Flies [{dialect, frames: [keys, ...], start}, ...] frame by frame; writes where each was, what it noted, and where it ended
// as seen from its start: [{poses: [[position, turn], ...], actions, frames, seen}, ...].
import { readFileSync } from "node:fs";
import { Flight } from "../../web/camera_editor/flight.mjs";

const flown = JSON.parse(readFileSync(0, "utf8")).map(({ dialect, frames, start }) => {
  const flight = new Flight(dialect);
  const poses = frames.map((keys) => {
    flight.step(keys);
    return [flight.position, flight.turn];
  });
  return { poses, actions: flight.actions, frames: flight.frames, seen: flight.seenFrom(start) };
});
process.stdout.write(JSON.stringify(flown));
