// Ways in which scripts of a page fail, and what else happens on pages; `given` are the words that the server chose.

const { nouns, verbs } = window.given;
export const chance = Math.random;
export const choice = values => values[Math.floor(chance() * values.length)];
export const number = (most = 1_000_000) => Math.floor(chance() * most);
export const noun = () => choice(nouns);
export const phrase = () => `${choice(verbs)} ${noun()} ${number(100_000)}`;
export const token = (length = 32) => Array.from({ length }, () => number(16).toString(16)).join('');

class Basket {
  constructor(owner) {
    this.owner = owner;
  }

  initials() {
    return this.owner.name.charAt(0);
  }

  async load(path) {
    const response = await fetch(path);
    if (!response.ok) throw new Error(`Request failed with status code ${response.status}`);
    return response.json();
  }
}

const clicked = handler => {
  const button = document.createElement('button');
  button.id = `${noun()}-${number(100)}`;
  button.className = `btn btn-primary ${noun()}`;
  button.textContent = phrase();
  button.addEventListener('click', handler);
  document.querySelector('main, #root').append(button);
  button.click();
};

const request = (method, path, handler) => {
  const xhr = new XMLHttpRequest();
  xhr.open(method, path);
  xhr.onload = () => handler(xhr);
  xhr.send(method === 'GET' ? null : JSON.stringify({ [noun()]: number() }));
};

export const failures = {
  undefinedProperty: () => new Basket().initials(),
  nullProperty: () => new Basket({ name: null }).initials(),
  nullElement: () => { document.getElementById(noun()).innerHTML = phrase(); },
  nullListener: () => document.querySelector(`.${noun()}`).addEventListener('click', () => {}),
  notAFunction: () => new Basket().render(),
  notDefined: () => window.eval(`${noun()}_${noun()}.push(1)`),
  notIterable: () => { const [first] = { [noun()]: number() }; return first; },
  destructured: () => { const { id } = window[noun() + number()]; return id; },
  constant: () => Object.freeze(nouns).push(noun()),
  beforeInitialisation: () => window.eval('total; let total = 1'),
  circular: () => { const basket = new Basket(); basket.owner = basket; return JSON.stringify(basket); },
  jsonSyntax: () => JSON.parse(choice(['', '<!DOCTYPE html>', '{"a": 1,}', undefined, phrase()])),
  invalidDate: () => new Date(phrase()).toISOString(),
  invalidFraction: () => number().toFixed(200),
  invalidLength: () => new Array(-1 - number()),
  invalidUrl: () => new URL(`/${noun()}s/${number()}`),
  invalidEscape: () => decodeURIComponent('%E0%A4%A'),
  invalidSelector: () => document.querySelector(`#${number()}`),
  invalidExpression: () => new RegExp(`(${noun()}`),
  invalidNumberFormat: () => new Intl.NumberFormat('en', { style: 'currency', currency: noun() }).format(number()),
  recursion: () => { const total = left => left + total(left + 1); return total(1); },
  quota: () => localStorage.setItem(noun(), 'x'.repeat(6_000_000)),
  notAChild: () => document.body.removeChild(document.createElement('div')),
  notBefore: () => document.body.insertBefore(document.createElement('p'), document.createElement('p')),
  invalidName: () => document.createElement(`${noun()} ${noun()}`),
  invalidState: () => new WebSocket(`ws://127.0.0.1:1/${noun()}`).send(phrase()),
  uncloneable: () => history.pushState({ handler: () => {} }, '', `/${noun()}`),
  otherOrigin: () => history.replaceState({}, '', `https://${noun()}.example.org/`),
  refusedFetch: () => fetch(`http://127.0.0.1:1/${noun()}s/${number()}`),
  failedFetch: () => new Basket().load(`/missing/${noun()}s/${number()}?${noun()}=${number()}`),
  fetchOfHtml: async () => (await (await fetch(`/${noun()}s/${number()}`)).json()).items,
  abortedFetch: () => {
    const controller = new AbortController();
    const response = fetch(`/${noun()}`, { signal: controller.signal });
    controller.abort();
    return response;
  },
  fetchTimeout: () => fetch('/slow', { signal: AbortSignal.timeout(10) }),
  missingModule: () => import(`/assets/${noun()}-${token(8)}.js`),
  xhrOfHtml: () => request('GET', `/${noun()}s/${number()}`, xhr => JSON.parse(xhr.responseText).items),
  xhrStatus: () => request('POST', `/missing/${noun()}`, xhr => { throw new Error(`${xhr.status} ${xhr.statusText}: ${phrase()}`); }),
  click: () => clicked(() => new Basket().initials()),
  clickOfNothing: () => clicked(event => event.target.closest('form').submit()),
  asyncClick: () => clicked(async () => (await new Basket().load(`/${noun()}`)).total.amount.toFixed(2)),
  timer: () => { setTimeout(() => new Basket({}).initials(), 1); },
  interval: () => { const id = setInterval(() => { clearInterval(id); new Basket().render(); }, 1); },
  frame: () => { requestAnimationFrame(time => time.toFixed(number(3)).nothing.toString()); },
  idle: () => { requestIdleCallback(deadline => deadline.timeLeft().items.length); },
  observer: () => new IntersectionObserver(phrase()),
  customEvent: () => {
    window.addEventListener('basket', event => event.detail.items.length, { once: true });
    window.dispatchEvent(new CustomEvent('basket', { detail: { [noun()]: number() } }));
  },
  chained: () => {
    try {
      return JSON.parse(phrase());
    } catch (error) {
      throw new Error(`could not ${phrase()}`, { cause: error });
    }
  },
  aggregate: () => Promise.any([Promise.reject(new TypeError(phrase())), Promise.reject(new Error(phrase()))]),
  rejectedText: () => Promise.reject(phrase()),
  rejectedObject: () => Promise.reject({ status: 400 + number(200), [noun()]: phrase() }),
  rejectedNothing: () => Promise.reject(),
  rejectedEvent: () => Promise.reject(new CustomEvent(noun())),
  thrownText: () => { throw phrase(); },
  thrownDomException: () => { throw new DOMException(phrase(), 'NotAllowedError'); },
  withFields: () => { throw Object.assign(new Error(phrase()), { code: noun(), [noun()]: number() }); },
  inAMap: () => [{ owner: noun() }, null].map(row => row.owner.length),
  inAReduce: () => [].reduce((total, line) => total + line.amount),
  inASort: () => [{ at: noun() }, {}].sort((a, b) => a.at.localeCompare(b.at)),
};

// What comes before a failure.
export function browse() {
  for (let left = number(6); left > 0; left--) {
    choice([
      () => console[choice(['log', 'info', 'warn', 'error', 'debug'])](`${noun()}: ${phrase()}`, { [noun()]: number() }),
      () => history.pushState({}, '', `/${noun()}s/${number()}${choice(['', `?${noun()}=${number()}`])}`),
      () => clicked(() => {}),
      () => fetch(`/${noun()}s/${number()}`, { method: choice(['GET', 'POST', 'PUT']) }),
      () => request(choice(['GET', 'POST']), `/api/${noun()}s?page=${number(20)}`, () => {}),
      () => {
        const field = document.createElement('input');
        Object.assign(field, { name: noun(), type: 'text', placeholder: phrase() });
        document.querySelector('main, #root').append(field);
        field.dispatchEvent(new KeyboardEvent('keypress', { key: 'a', bubbles: true }));
      },
    ])();
  }
}

// As many failures as the page shall have, one after the other; then the server is told.
export async function run(Sentry, ways) {
  Sentry.setUser(choice([null, { id: String(number()) }, { id: token(8), email: `${noun()}@example.com`, username: noun() }]));
  for (let left = number(3); left > 0; left--) Sentry.setTag(noun(), choice([noun(), String(number())]));
  if (chance() < 0.3) Sentry.setContext(noun(), { [noun()]: number(), [noun()]: phrase() });
  const names = Object.keys(ways);
  for (let left = window.given.failures; left > 0; left--) {
    browse();
    await new Promise(resolve => setTimeout(resolve, 20));
    const fail = ways[choice(names)];
    switch (number(6)) {
      case 0:
        try {
          await fail();
        } catch (error) {
          Sentry.captureException(error, { tags: { [noun()]: noun() }, extra: { [noun()]: phrase() } });
        }
        break;
      case 1:
        if (chance() < 0.3) Sentry.captureMessage(phrase(), choice(['info', 'warning', 'error']));
        break;
      case 2:
        Promise.resolve().then(fail);
        break;
      default:
        setTimeout(fail);
    }
    await new Promise(resolve => setTimeout(resolve, 60));
  }
  await Sentry.flush(2000);
  await fetch('/done');
}
