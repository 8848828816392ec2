"""Drafts of an unfinished page, the module alone: the newer one counts, with what was heard since the last change."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

# A page with one change, sent; then `heard` grows without a change, as while one listens; then the page is drawn again.
DRAWN_AGAIN = """async () => {
  const {createDrafts, newerDraft} = await import("/drafts.js");
  let heard = 0.2;
  const served = [];
  const api = {draft: async (key, draft) => served.push(structuredClone(draft))};
  const drafts = createDrafts({
    api, key: "p1", attempt: 1, seq: 0, take: () => ({fields: {}, heard}), onError: (error) => { throw error; },
  });
  drafts.touch();
  drafts.hide();
  await new Promise((done) => setTimeout(done, 0));
  heard = 3.4;
  drafts.keep();
  drafts.stop(false);
  const restored = newerDraft("p1", 1, served.at(-1));
  return [served.at(-1).heard, restored.heard, newerDraft("p2", 1, null), newerDraft("p1", 2, served.at(-1)).heard];
}"""


def test_what_was_heard_since_the_last_change_survives_a_page_drawn_again(blank: Page) -> None:
    sent, restored, of_another_page, of_another_attempt = blank.evaluate(DRAWN_AGAIN)
    assert (sent, restored) == (0.2, 3.4)
    assert of_another_page is None and of_another_attempt == 0.2
