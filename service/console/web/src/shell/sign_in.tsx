import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../i18n";
import { signIn } from "../api/client";
import { Problem } from "../parts/states";
import { useActing } from "../state/acting";
import { refused } from "../state/session";

export function SignIn() {
  const [text, setText] = useState("");
  const { act, wrong, acting } = useActing();
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  return (
    <form
      class="sign-in"
      onSubmit={(event) => {
        event.preventDefault();
        void act(() => signIn(text.trim()));
      }}
    >
      <h1>{t("key.title")}</h1>
      {wrong && <Problem failure={wrong} />}
      {refused.value && !wrong ? (
        <p class="problem" role="alert">
          {t("key.refused")}
        </p>
      ) : (
        <p>{t("key.why")}</p>
      )}
      <label>
        {t("key.field")}
        <input
          type="password"
          autocomplete="off"
          spellcheck={false}
          required
          ref={field}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </label>
      <p class="quiet">{t("key.kept")}</p>
      <p>
        <button type="submit" class="primary" aria-disabled={acting}>
          {t("key.enter")}
        </button>
      </p>
    </form>
  );
}
