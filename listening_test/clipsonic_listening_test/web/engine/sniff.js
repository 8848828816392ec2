/**
 * Rate and channels of a sound file from its first bytes (FLAC or WAV), which the decoder does not tell: it resamples
 * to its context without a word, so the context must be made for the file.
 */

/**
 * @param {ArrayBuffer} data
 * @returns {{rate_hz: number, channels: number}|null}  null: neither FLAC nor WAV
 */
export function soundHeader(data) {
  const view = new DataView(data);
  /** @param {number} at */
  const word = (at) => (at + 4 <= data.byteLength ? String.fromCharCode(...new Uint8Array(data, at, 4)) : "");
  if (word(0) === "fLaC" && data.byteLength >= 22) {
    // STREAMINFO is always first: 20 bits of rate, 3 bits of channels - 1.
    const packed = view.getUint32(18);
    return { rate_hz: packed >>> 12, channels: ((packed >>> 9) & 7) + 1 };
  }
  if (word(0) !== "RIFF" || word(8) !== "WAVE") return null;
  for (let at = 12; at + 24 <= data.byteLength; at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) & 1)) {
    if (word(at) === "fmt ") return { rate_hz: view.getUint32(at + 12, true), channels: view.getUint16(at + 10, true) };
  }
  return null;
}
