import { say } from "../state/saying";

/** Copies a text that is made when it is needed. */
export function CopyButton(props: { text: () => string; label: string; done: string }) {
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(props.text());
    say(props.done);
  };
  return (
    <button type="button" onClick={() => void copy()}>
      {props.label}
    </button>
  );
}
