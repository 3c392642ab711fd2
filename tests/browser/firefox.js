// Loaded by Playwright's own program. Debian's Firefox lacks the command by which Playwright sets the preferred
// colours, and without it no page opens. A command that changes nothing is sent instead.
const stringify = JSON.stringify;
JSON.stringify = (value, ...rest) =>
  stringify(value?.method === "emulation.setMediaFeaturesOverride"
    ? { ...value, method: "session.status", params: {} } : value, ...rest);
