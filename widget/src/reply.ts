/** What the chat API sends, as docs/chat-api.md describes it. */

export interface Choice {
  title: string;
  token: string;
}

export interface Source {
  name: string;
  url: string;
  grade: string;
}

export interface Answer {
  language: string;
  question: string;
  text: string;
  /** What the answer means for the day of treatment that the person told. */
  in_your_case?: string | null;
  when_to_contact?: string | null;
  reviewed_on?: string | null;
  starting_text_of?: string | null;
  sources?: Source[];
}

export interface Reply {
  kind: string;
  topic?: string;
  text?: string;
  answers?: Answer[];
  /** What is said below the answers: the open question of a form. */
  then?: string;
  choices?: Choice[];
  urgency?: string;
}

/** What a person said about an answer. `reason` and `comment` go with a "no". */
export interface Feedback {
  helpful: boolean;
  reason: string | null;
  comment: string | null;
}

/** A number to call, and when it suits. */
export interface CallBack {
  number: string;
  best_time: string | null;
  consent: string;
}

export interface Branch {
  name: string;
  address: string;
  phone: string;
  hours: string;
}

export interface Clinic {
  name: string;
  phone: string;
  hours: string | null;
  out_of_hours: string | null;
  emergency_number: string;
  emergency_line: string;
  /** A sentence that says whether anybody reads the chat as it happens. */
  reads_live: string;
  greeting: string;
  disclaimer: string;
  privacy: { version: string; line: string; text: string };
  first_choices: { title: string; text: string }[];
  /** The sentence beside the number to call back, and its version. */
  call_back: { version: string; line: string };
  branches: Branch[];
  language: string;
  languages: string[];
}

export type Speaker = "person" | "assistant" | "staff";

/** A reply on its way to the screen, from wherever it came: the answer to a post, an event, the history. */
export interface Arrived {
  /** Null while the service could not write it down. */
  event_id: number | null;
  /** The message it answers; null where staff speak unasked. */
  message_id: string | null;
  from?: Speaker;
  state?: string;
  reply: Reply | null;
  at: string;
  feedback?: Feedback | null;
}

/** One line of the history. */
export interface Line {
  id: string | null;
  from: Speaker;
  text: string;
  reply: Reply | null;
  at: string;
  event_id: number | null;
  feedback?: Feedback | null;
}

export const isUrgent = (reply: Reply): boolean =>
  reply.kind === "urgent" || reply.urgency === "emergency_now" || reply.urgency === "same_day";
